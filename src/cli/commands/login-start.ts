import { parseExpectation } from '../../router/expectation.js';
import { type PendingStanding, startPending, sweepPending } from '../../router/pending-login.js';
import { showText } from '../../text.js';
import { pendingDeps } from '../adapt.js';
import type { Cli } from '../cli.js';
import { compose } from '../compose.js';
import { DONE, type LoginStartDocument } from '../documents.js';
import type { KeyOptions } from '../options.js';
import { freeAlias } from './login-arrival.js';

export interface LoginStartOptions extends KeyOptions {
  readonly expect?: string;
  readonly alias?: string;
}

/** `codex-router login start` */
export async function runLoginStart(cli: Cli, options: LoginStartOptions): Promise<void> {
  const parts = compose(cli, options, true);
  const deps = await pendingDeps(cli, parts);
  await sweepPending(deps);
  const { expect = null } = options;
  const stored = await parts.repo.list();
  const wanted = expect === null ? null : parseExpectation(expect, stored);
  const alias = options.alias === undefined ? null : freeAlias(options.alias, wanted, stored);
  // What lies there damaged is told before the vault is opened, or made.
  await deps.pending.read();
  const repo = await parts.openRepo();
  const { url, redirectUri, secrets } = (await parts.browserIssuer()).begin(wanted?.accountId ?? null);
  const started = await startPending(deps, repo, { redirectUri, expect, alias }, secrets);
  const document: LoginStartDocument = {
    ...DONE,
    result: 'started',
    url,
    login: pendingLogin(started),
    replaced: started.replaced === null ? null : pendingLogin(started.replaced),
  };
  cli.print(document, () => text(document));
}

/** A pending login without its secrets, as the documents have it. */
export function pendingLogin({ login, expiresAt }: PendingStanding): LoginStartDocument['login'] {
  const { createdAt, expect, alias } = login;
  return { startedAt: createdAt, expiresAt, expect, alias };
}

/** A time of today, as the person's clock shows it. */
export function clockTime(at: number): string {
  return new Date(at).toTimeString().slice(0, 5);
}

function text({ url, login, replaced }: LoginStartDocument): string {
  return [
    ...(replaced === null
      ? []
      : [
          `the login begun at ${clockTime(replaced.startedAt)} gives way to this one and cannot be finished any more`,
        ]),
    `open this address in a browser on any machine, and log in there${whom(login.expect)}:`,
    '',
    `  ${url}`,
    '',
    'the browser ends on a page at 127.0.0.1 that cannot be shown: that is right. Copy its whole address, then run',
    '',
    '  codex-router login finish',
    '',
    `and paste it there, until ${clockTime(login.expiresAt)}. Not on the command line: others could read it.`,
  ].join('\n');
}

function whom(expect: string | null): string {
  return expect === null ? '' : ` as ${showText(expect, 200)}`;
}
