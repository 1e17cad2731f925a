import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { configHome, type OpenClaw, openclaw } from './openclaw.js';
import { outputOf } from './process.js';
import type { Tester } from './real.js';
import { type Release, traitsOf } from './releases.js';
import { PROJECT, type Sandbox, sandbox } from './router.js';
import { settle } from './sqlite.js';
import { chatSessions, makeState, PIN, PROVIDER, readJson, SLOT, writeJson } from './state.js';
import { databasesBelow, type Stores, storesOf } from './stores.js';
import { CANARY, type Login, loginOf, type PersonName } from './tokens.js';

type Fields = Record<string, unknown>;

export interface NativeOptions {
  /**
   * `follow`: besides main there is an agent `research` without a login, which reads through to main's. `own`: it has one of
   * its own (bob-team), under the same id. Left out: main alone.
   */
  readonly research?: 'follow' | 'own';
  readonly port?: number;
  /** The model provider's base URL; default a closed port. */
  readonly baseUrl?: string;
}

/** A state directory that a release made itself, in a sandbox, and that release. */
export interface NativeState extends Stores {
  readonly claw: OpenClaw;
  readonly configPath: string;
  readonly port: number;
  /** Who the logins in it belong to; the same tokens each time. */
  readonly logins: { readonly slot: Login; readonly neighbour: Login; readonly research: Login };
  /** The profile ids of main's store besides the slot: a login of the same provider and a key of another one. */
  readonly neighbourId: string;
}

/** The login of a made state: the same each time, and valid for as long as anyone runs these tests. */
export function seedOf(name: PersonName): Login {
  return loginOf(name, {
    nonce: 'seed',
    issuedAt: Date.UTC(2026, 10, 1),
    expiresAt: Date.UTC(2099, 0, 1),
  });
}

const NEIGHBOUR = seedOf('carol');
/** A profile that no switch has any business with. */
export const FOREIGN_ID = 'anthropic:default';

/**
 * Makes the sandbox's state directory the way `release` itself does: where its doctor migrates, the legacy input of 2026.5.28 goes
 * through that; before, the input is written as the release writes it, and the release reads it once. Then, whatever
 * the doctor chose, model turns run in OpenClaw itself (the Codex app-server is not in the package). A made state is kept
 * under .cache for as long as neither the release's lock file nor the kit changes.
 * Null when the release is not installed (see `real`). @throws when the release complains.
 */
export async function nativeState(
  t: Tester,
  box: Sandbox,
  release: Release,
  options: NativeOptions = {},
): Promise<NativeState | null> {
  const claw = openclaw(t, box, release);
  if (claw === null) return null;
  const name = cacheName(box, release, options);
  const kept = path.join(STATES, name);
  if (!existsSync(kept)) await make(t, release, options, kept);
  unpack(kept, box);
  const configPath = path.join(box.stateDir, 'openclaw.json');
  const { port = 9, baseUrl } = options;
  configure(configPath, port, baseUrl);
  return {
    ...storesOf(box.stateDir, release),
    claw,
    configPath,
    port,
    logins: { slot: seedOf('alice'), neighbour: NEIGHBOUR, research: seedOf('bob-team') },
    neighbourId: `${traitsOf(release).provider}:${NEIGHBOUR.email}`,
  };
}

/** The same state directory after OpenClaw was upgraded in place, its own doctor run `times` (facts: 9.6 needs it twice). */
export async function upgrade(
  t: Tester,
  box: Sandbox,
  state: NativeState,
  release: Release,
  times = 1,
): Promise<NativeState | null> {
  rmSync(path.join(box.bin, 'openclaw'), { force: true });
  const claw = openclaw(t, box, release);
  if (claw === null) return null;
  // Its first run may stop half-way and say so; the last one must not.
  for (let run = 1; run < times; run += 1) await claw.run(DOCTOR);
  await doctor(claw);
  configure(state.configPath, state.port);
  const neighbourId = `${traitsOf(release).provider}:${NEIGHBOUR.email}`;
  return { ...state, ...storesOf(box.stateDir, release), claw, neighbourId };
}

const STATES = path.join(PROJECT, '.cache', 'openclaw-states');

async function make(t: Tester, release: Release, options: NativeOptions, kept: string): Promise<void> {
  const box = sandbox(t);
  const claw = openclaw(t, box, release);
  if (claw === null) return;
  const traits = traitsOf(release);
  writeLegacy(box.stateDir, traits.doctor ? '2026.5.28' : release, options);
  if (traits.doctor) await doctor(claw);
  else await claw.json(['models', 'status', '--json']);
  // Lock files named after the path they are for, and what the process had left in its log.
  rmSync(path.join(box.stateDir, 'tmp'), { recursive: true, force: true });
  for (const file of databasesBelow(box.stateDir)) {
    settle(file);
    for (const suffix of ['-wal', '-shm']) rmSync(file + suffix, { force: true });
  }
  mkdirSync(STATES, { recursive: true });
  const fresh = mkdtempSync(path.join(STATES, '.making-'));
  cpSync(box.stateDir, path.join(fresh, 'state'), { recursive: true });
  cpSync(configHome(box), path.join(fresh, 'config'), { recursive: true });
  writeFileSync(path.join(fresh, 'root'), box.root);
  if (existsSync(kept)) rmSync(fresh, { recursive: true });
  else renameSync(fresh, kept);
  forgetOld();
}

const DOCTOR = ['doctor', '--fix', '--non-interactive'];

async function doctor(claw: OpenClaw): Promise<void> {
  const run = await claw.run(DOCTOR);
  if (run.code !== 0) throw new Error(`the doctor of ${claw.release} failed\n${outputOf(run)}`);
}

/** The common legacy input: three profiles of main, two of them logins, and every kind of session, two of them pinned. */
function writeLegacy(dir: string, release: Release, options: NativeOptions): void {
  const sessions = chatSessions();
  const pinned = (key: string, pin: Fields) => {
    sessions[key] = { ...sessions[key], ...pin };
  };
  pinned('agent:main:main', PIN);
  pinned('agent:main:telegram:direct:1001', {
    ...{
      authProfileOverride: SLOT,
      authProfileOverrideSource: 'auto',
      authProfileOverrideCompactionCount: 0,
    },
  });
  const neighbourId = `${PROVIDER}:${NEIGHBOUR.email}`;
  const state = makeState(dir, {
    release,
    slot: seedOf('alice'),
    others: {
      [neighbourId]: NEIGHBOUR,
      [FOREIGN_ID]: { type: 'api_key', provider: 'anthropic', key: `sk-ant-${CANARY}-seed` },
    },
    sessions,
    order: [SLOT, neighbourId],
    usageStats: { [SLOT]: { lastUsed: Date.now() - 3_600_000, errorCount: 0 } },
    ...(options.research
      ? {
          agents: [
            {
              id: 'research',
              ...(options.research === 'own' ? { slot: seedOf('bob-team') } : {}),
              sessions: { 'agent:research:main': { chatType: 'direct', ...PIN } },
            },
          ],
        }
      : {}),
  });
  const keys = Object.keys(state.sessions());
  for (const [agent, count] of [['main', keys.length] as const, ['research', 1] as const]) {
    for (let index = 1; existsSync(state.paths(agent).sessions) && index <= count; index += 1) {
      writeTranscript(path.dirname(state.paths(agent).sessions), index);
    }
  }
}

/** OpenClaw's doctor asks where a session's transcript went. */
function writeTranscript(folder: string, index: number): void {
  const id = `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`;
  const timestamp = new Date().toISOString();
  const lines = [
    { type: 'session', version: 3, id, timestamp, cwd: '/' },
    {
      ...{ type: 'message', id: 'a1b2c3d4', parentId: null, timestamp },
      message: { role: 'user', content: [{ type: 'text', text: 'hello' }], timestamp: Date.now() },
    },
  ];
  writeFileSync(path.join(folder, `${id}.jsonl`), lines.map((line) => `${JSON.stringify(line)}\n`).join(''), {
    mode: 0o600,
  });
}

/** The state names its own folder in many places; every sandbox's path has the same length, so one is written over the other. */
function unpack(kept: string, box: Sandbox): void {
  const old = Buffer.from(readFileSync(path.join(kept, 'root'), 'utf8'));
  const root = Buffer.from(box.root);
  if (old.length !== root.length) throw new Error(`${box.root} and the sandbox of ${kept} differ in length`);
  cpSync(path.join(kept, 'state'), box.stateDir, { recursive: true });
  cpSync(path.join(kept, 'config'), configHome(box), { recursive: true });
  for (const entry of readdirSync(box.stateDir, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue;
    const file = path.join(entry.parentPath, entry.name);
    const content = readFileSync(file);
    let at = content.indexOf(old);
    if (at < 0) continue;
    for (; at >= 0; at = content.indexOf(old, at + 1)) root.copy(content, at);
    writeFileSync(file, content);
  }
}

/** Turns in OpenClaw itself, a gateway port, and a model provider on loopback. */
function configure(file: string, port: number, baseUrl?: string): void {
  // biome-ignore lint/suspicious/noExplicitAny: a configuration the kit itself wrote
  const config: any = readJson(file);
  config.gateway.port = port;
  for (const provider of Object.values<Fields>(config.models?.providers ?? {})) {
    if (baseUrl) provider.baseUrl = baseUrl;
  }
  for (const model of Object.values<Fields>(config.agents.defaults.models ?? {})) {
    if (model.agentRuntime) model.agentRuntime = { id: 'openclaw' };
  }
  writeJson(file, config);
}

function cacheName(box: Sandbox, release: Release, { research }: NativeOptions): string {
  const { stateFile, planField, timedSessions, doctor } = traitsOf(release);
  const traits = JSON.stringify([stateFile, planField, timedSessions, doctor]);
  const digest = createHash('sha256').update(`${box.root.length} ${traits}`);
  const folder = path.join(PROJECT, 'test', 'interop', `openclaw-${release}`);
  for (const file of [path.join(folder, 'package-lock.json'), ...KIT]) digest.update(readFileSync(file));
  return `${release}-${research ?? 'main'}-${digest.digest('hex').slice(0, 12)}`;
}

/** What decides how a made state looks. */
const KIT = ['native.ts', 'state.ts', 'tokens.ts'].map((name) => path.join(PROJECT, 'test', 'kit', name));

/** States that an older kit made. */
function forgetOld(): void {
  for (const name of readdirSync(STATES)) {
    const folder = path.join(STATES, name);
    if (Date.now() - statSync(folder).mtimeMs > 2 * 24 * 60 * 60 * 1000)
      rmSync(folder, { recursive: true, force: true });
  }
}
