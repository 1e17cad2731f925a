import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import type { Issuer } from '../kit/issuer.js';
import { leaksOf, type RouterOptions, router, type Sandbox, sandbox } from '../kit/router.js';
import { codexAuthJson, type Login } from '../kit/tokens.js';

export const PASSPHRASE = 'correct horse battery staple';
const AGE = existsSync('/usr/bin/age') && existsSync('/usr/bin/age-keygen');
export const withoutAge = AGE ? false : "Debian's age is not installed";

export interface Machine {
  readonly box: Sandbox;
  run(args: readonly string[], options?: RouterOptions): ReturnType<typeof router>;
  add(alias: string, login: Login): Promise<void>;
}

export function machine(t: Test, issuer: Issuer | null = null): Machine {
  const box = sandbox(t);
  const env: Record<string, string> = {
    CODEX_ROUTER_KEY: 'file',
    ...(issuer !== null && { CODEX_ROUTER_TEST_ISSUER: issuer.url }),
  };
  const run: Machine['run'] = (args, options = {}) =>
    router(box, args, { ...options, env: { ...env, ...options.env } });
  t.teardown(() => {
    const leaks = leaksOf(box);
    if (leaks.length > 0) throw new Error(`tokens leaked: ${JSON.stringify(leaks)}`);
  });
  return {
    box,
    run,
    add: async (alias, login) => {
      const added = await run(['import', '--from', '-', '--alias', alias], { input: codexAuthJson(login) });
      if (added.code !== 0) throw new Error(added.stderr);
    },
  };
}

/** Writes a file that only its owner can read; its path. */
export function secretFile({ root }: Sandbox, name: string, text: string): string {
  const file = path.join(root, name);
  writeFileSync(file, text, { mode: 0o600 });
  return file;
}

/** A key pair of Debian's age: the key file, and the recipient. */
export function keyPair(box: Sandbox): { file: string; recipient: string } {
  const file = path.join(box.root, 'age-key.txt');
  spawnSync('/usr/bin/age-keygen', ['-o', file]);
  const recipient = spawnSync('/usr/bin/age-keygen', ['-y', file]).stdout.toString().trim();
  return { file, recipient };
}

export const listed = async ({ run }: Machine) => (await run(['list', '--json'])).json.identities;
