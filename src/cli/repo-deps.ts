import { join, resolve } from 'node:path';
import type { RouterFolders } from '../os/folders.js';
import { parseKeyKind } from '../repo/key-kind.js';
import { openKeychain } from '../repo/keychain.js';
import type { RepoDeps } from '../repo/opening.js';
import type { Cli } from './cli.js';
import type { KeyOptions } from './options.js';

/** What the repo is opened with. @param creates whether the command stores something and so may make the vault on a first run. */
export function repoDepsOf(
  cli: Cli,
  folders: RouterFolders,
  { key, keyFile }: KeyOptions,
  creates: boolean,
): RepoDeps {
  const { env, platform, terminal, now } = cli;
  const keychain = openKeychain({
    childPath: join(import.meta.dirname, 'keychain-child.js'),
    execPath: process.execPath,
    env,
    platform,
    get isTerminal() {
      return terminal.canAsk;
    },
  });
  return {
    folders,
    env,
    keychain,
    get isTerminal() {
      return terminal.canAsk;
    },
    askSecret: (question) => terminal.askSecret(question),
    say: (line) => cli.say(line),
    keyFile: keyFile === undefined ? null : resolve(keyFile),
    now,
    firstRun: creates
      ? {
          key: key === undefined ? null : parseKeyKind(key, '--key'),
          ask: (question, choices) => terminal.ask(question, choices),
        }
      : null,
  };
}
