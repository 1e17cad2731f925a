import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import { type Issuer, startIssuer } from '../kit/issuer.js';
import type { ProcessRun } from '../kit/process.js';
import {
  leaksOf,
  type Owner,
  type RouterOptions,
  type RouterRun,
  router,
  type Sandbox,
  sandbox,
} from '../kit/router.js';
import { makeState, type OpenClawState, readJson, SLOT, writeJson } from '../kit/state.js';
import { codexAuthJson, type Login, type LoginOptions, type Person } from '../kit/tokens.js';
import { figure } from './figures.js';

/** The built program beside an OpenClaw 2026.5.7 and an issuer whose refresh tokens are good once. */
export interface Rig {
  readonly box: Sandbox;
  readonly state: OpenClawState;
  readonly issuer: Issuer;
  /** Laid over the sandbox's environment in every run; a test may add to it. */
  readonly env: Record<string, string>;
  run(args: readonly string[], options?: RouterOptions): Promise<RouterRun>;
  /** As `run`, and that it succeeded. @throws with what it said */
  ok(args: readonly string[], options?: RouterOptions): Promise<RouterRun>;
  /** A login handed out by the issuer, stored under `alias`; a second one of the same person renews the first. */
  add(alias: string, person: Person, options?: Partial<LoginOptions>): Promise<Login>;
  /** The refresh token in the slot. */
  inSlot(): string | undefined;
  /** OpenClaw refreshes what is in the slot. */
  hostRefreshes(): Promise<void>;
  /** What lies in the router's home and in the state directory: every file's path and a hash of its bytes. */
  files(): Readonly<Record<string, string>>;
  /**
   * Puts every identity into the slot, one after the other, and refreshes each there as OpenClaw does: a login that cannot be used is
   * lost, and a token that was spent before is a reuse.
   * @returns what is wrong with each that is lost; counted among the figures
   */
  lost(aliases: readonly string[]): Promise<readonly string[]>;
}

/** @param env of every run, beside the sandbox's */
export async function makeRig(
  t: Owner,
  env: Record<string, string> = { CODEX_ROUTER_KEY: 'file' },
): Promise<Rig> {
  const box = sandbox(t);
  const issuer = await startIssuer(t);
  const state = makeState(box.stateDir, { release: '2026.5.7', slot: null });
  const store = () =>
    readJson(state.paths().profiles) as { profiles: Record<string, { refresh: string; access: string }> };
  const rig: Rig = {
    box,
    state,
    issuer,
    env: { CODEX_ROUTER_TEST_ISSUER: issuer.url, ...env },
    run: (args, options = {}) => router(box, args, { ...options, env: { ...rig.env, ...options.env } }),
    async ok(args, options) {
      const run = await rig.run(args, options);
      if (run.code !== 0) throw new Error(`${args.join(' ')}: ${said(run)}`);
      return run;
    },
    async add(alias, person, options) {
      const login = issuer.mint(person, options);
      await rig.ok(['import', '--from', '-', '--alias', alias], { input: codexAuthJson(login) });
      return login;
    },
    inSlot: () => store().profiles[SLOT]?.refresh,
    async hostRefreshes() {
      const all = store();
      const answer = await issuer.refresh(rig.inSlot() ?? '');
      if (!answer.ok) throw new Error(answer.error);
      all.profiles[SLOT] = { ...all.profiles[SLOT], refresh: answer.refresh, access: answer.access };
      writeJson(state.paths().profiles, all);
    },
    files: () => hashes([box.routerHome, box.stateDir]),
    async lost(aliases) {
      const wrong: string[] = [];
      for (const alias of aliases) {
        const use = await rig.run(['use', alias]);
        if (use.code !== 0) wrong.push(`${alias}: ${said(use)}`);
        else await rig.hostRefreshes().catch((error) => wrong.push(`${alias}: ${error}`));
      }
      figure('identities lost', wrong.length);
      return wrong;
    },
  };
  t.teardown(() => {
    figure('reuse events', issuer.reuses().length);
    const leaks = leaksOf(box);
    if (leaks.length > 0) throw new Error(`tokens leaked: ${JSON.stringify(leaks)}`);
    if (issuer.reuses().length > 0) throw new Error('a token was spent twice');
  });
  return rig;
}

/** One fault that a command was run under. */
export function faulted<T>(outcome: T): T {
  figure('faults injected', 1);
  return outcome;
}

export function said({ code, signal, stdout, stderr }: ProcessRun): string {
  return `exit ${code ?? signal}\n${stdout}${stderr}`;
}

/** Links are not followed; what cannot be read has its error for a hash. */
function hashes(folders: readonly string[]): Record<string, string> {
  const found: Record<string, string> = {};
  for (const folder of folders.filter((one) => existsSync(one))) {
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      const file = path.join(entry.parentPath, entry.name);
      if (entry.isSymbolicLink()) found[file] = `-> ${readlinkSync(file)}`;
      else if (entry.isFile()) found[file] = createHash('sha256').update(readFileSync(file)).digest('hex');
      else found[file] = 'folder';
    }
  }
  return found;
}
