import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Decrypter, generateX25519Identity, identityToRecipient } from 'age-encryption';
import type { Test } from 'tap';
import type { Issuer } from '../kit/issuer.js';
import { leaksOf, type RouterOptions, router, type Sandbox, sandbox } from '../kit/router.js';
import { codexAuthJson, type Login } from '../kit/tokens.js';

export const PASSPHRASE = 'correct horse battery staple';

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

/** An age key pair: the key file as age-keygen writes it, and the recipient. */
export async function keyPair(
  box: Sandbox,
  name = 'age-key.txt',
): Promise<{ file: string; recipient: string }> {
  const identity = await generateX25519Identity();
  const recipient = await identityToRecipient(identity);
  return { file: secretFile(box, name, `# public key: ${recipient}\n${identity}\n`), recipient };
}

/** What an encrypted export holds. */
export async function openedExport(file: string, { file: key }: { readonly file: string }) {
  const decrypter = new Decrypter();
  const identity = readFileSync(key, 'utf8').match(/^AGE-SECRET-KEY-.*$/m)?.[0];
  decrypter.addIdentity(identity ?? '');
  return JSON.parse(await decrypter.decrypt(readFileSync(file), 'text'));
}

export const listed = async ({ run }: Machine) => (await run(['list', '--json'])).json.identities;
