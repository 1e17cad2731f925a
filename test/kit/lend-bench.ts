import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import { type Issuer, startIssuer } from './issuer.js';
import { leaksOf, type RouterOptions, type RouterRun, router, type Sandbox, sandbox } from './router.js';
import { makeState } from './state.js';
import { codexAuthJson, type Login, type LoginOptions, type Person } from './tokens.js';

/** What a test of `lend` works with: a Codex home, an OpenClaw with an empty slot, a vault with a key file, and an issuer. */
export interface LendBench {
  readonly box: Sandbox;
  readonly issuer: Issuer;
  /** The Codex home's auth.json. */
  readonly file: string;
  /** With `--json`. */
  run(line: string, options?: RouterOptions): Promise<RouterRun>;
  /** A login handed out by the issuer, stored under `alias`. */
  add(alias: string, person: Person, options?: Partial<LoginOptions>): Promise<Login>;
  /** Codex is signed in as this person. */
  signIn(person: Person, options?: Partial<LoginOptions>): Login;
  // biome-ignore lint/suspicious/noExplicitAny: a test reads the fields it expects
  auth(): any;
  /** The list entry of an alias. */
  // biome-ignore lint/suspicious/noExplicitAny: as above
  entry(alias: string): Promise<any>;
  config(...lines: string[]): void;
}

export async function lendBench(t: Test): Promise<LendBench> {
  const box = sandbox(t);
  const issuer = await startIssuer(t);
  box.env.CODEX_ROUTER_KEY = 'file';
  box.env.CODEX_ROUTER_TEST_ISSUER = issuer.url;
  makeState(box.stateDir, { release: '2026.5.7', slot: null });
  const file = path.join(box.codexHome, 'auth.json');
  const self: LendBench = {
    box,
    issuer,
    file,
    run: (line, options) => router(box, [...line.split(' '), '--json'], options),
    async add(alias, person, options = {}) {
      const login = issuer.mint(person, options);
      const run = await router(box, ['import', '--from', '-', '--alias', alias], {
        input: textOf(login, issuer),
      });
      if (run.code !== 0) throw new Error(run.stderr);
      return login;
    },
    signIn(person, options = {}) {
      const login = issuer.mint(person, options);
      writeFileSync(file, textOf(login, issuer), { mode: 0o600 });
      return login;
    },
    auth: () => (existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : null),
    entry: async (alias) =>
      (await self.run('list')).json.identities.find((one: { alias: string }) => one.alias === alias),
    config: (...lines) => writeFileSync(path.join(box.codexHome, 'config.toml'), `${lines.join('\n')}\n`),
  };
  t.teardown(() => {
    const leaks = leaksOf(box);
    if (leaks.length > 0) throw new Error(`tokens leaked: ${JSON.stringify(leaks)}`);
    if (issuer.reuses().length > 0) throw new Error('a token was spent twice');
  });
  return self;
}

/** The auth.json of a login of this issuer. */
export function textOf(login: Login, issuer: Pick<Issuer, 'url'>): string {
  return codexAuthJson(login, '0.169', { issuer: issuer.url });
}

/** What a refused run looks like. */
export const refused = (code: string, exit = 6) => ({ code: exit, json: { error: { code } } });
