import { readPending } from '../../router/pending-login.js';
import { showText } from '../../text.js';
import { pendingDeps } from '../adapt.js';
import type { Cli } from '../cli.js';
import { compose } from '../compose.js';
import { DONE, type LoginStatusDocument } from '../documents.js';
import { clockTime, pendingLogin } from './login-start.js';

/** `codex-router login status`: opens no vault and writes nothing. */
export async function runLoginStatus(cli: Cli): Promise<void> {
  const deps = await pendingDeps(cli, compose(cli, {}));
  const standing = await readPending(deps);
  const document: LoginStatusDocument = {
    ...DONE,
    result: standing?.kind ?? 'none',
    login: standing === null ? null : pendingLogin(standing),
  };
  cli.print(document, () => text(document));
}

function text({ result, login }: LoginStatusDocument): string {
  if (login === null) return 'no login is pending';
  const begun = `begun at ${clockTime(login.startedAt)}`;
  if (result === 'used') return `no login is pending; the last one, ${begun}, was finished or ended`;
  if (result === 'expired') return `no login is pending; the last one, ${begun}, has expired`;
  return [
    `a login is pending, ${begun}, until ${clockTime(login.expiresAt)}`,
    `  expected  ${login.expect === null ? 'anybody' : showText(login.expect, 200)}`,
    `  alias     ${showText(login.alias)}`,
    'next: codex-router login finish, or login cancel',
  ].join('\n');
}
