import { RouterError } from '../../errors.js';
import type { OpenRepo } from '../../repo/repo.js';
import { type Finished, finishAdds } from '../../router/finish-adds.js';
import type { LeftLogin } from '../../router/left-logins.js';
import type { Host } from '../../slot/host.js';
import { showText } from '../../text.js';
import { hostOrNull } from '../adapt.js';
import type { Cli } from '../cli.js';
import { compose, type Parts } from '../compose.js';
import type { HostOptions, KeyOptions } from '../options.js';

/** What is at hand when left logins are stored. */
export interface FinishWith {
  readonly cli: Cli;
  readonly parts: Parts;
  readonly repo: OpenRepo;
  readonly host: Host | null;
}

/** Stores what interrupted `add`s left, or removes it. @throws as the repo */
export function finishWith(
  { cli, parts, repo, host }: FinishWith,
  left: readonly LeftLogin[],
): Promise<Finished> {
  const { hostAt, outside, journal, withLock, withGrantLock, revocation } = parts;
  const { critical } = cli.interruption;
  const deps = {
    host,
    hostAt,
    outside,
    journal,
    withLock,
    withGrantLock,
    critical,
    now: cli.now,
    revocation,
  };
  return finishAdds(deps, repo, left);
}

/**
 * Called first by every command that brings logins in: stores what interrupted `add`s left, and says so. Where there is nothing, it
 * costs the listing of a folder, and no vault is opened.
 */
export async function finishLeftAdds(cli: Cli, options: HostOptions & KeyOptions): Promise<void> {
  const parts = compose(cli, options, true);
  const logins = await parts.isolatedLogins();
  if (!(await logins.mayBeLeft())) return;
  const left = await logins.left();
  const host = await hostOrNull(parts).catch((error: unknown) => {
    if (error instanceof RouterError) return null;
    throw error;
  });
  const isWaiting = left.some(({ state }) => state === 'login');
  if (!isWaiting) {
    for (const one of left) if (one.state === 'empty') await one.remove();
    return;
  }
  tellFinished(cli, await finishWith({ cli, parts, repo: await parts.openRepo(), host }, left));
}

/** At once: what comes after it may fail. */
export function tellFinished(cli: Cli, { adds, notes }: Finished): void {
  for (const { alias, kept } of adds) {
    const { email, accountId } = kept.entry.identity;
    const named = alias === null ? '' : ` of ${showText(alias)}`;
    cli.say(`an interrupted add${named} is finished: ${showText(email ?? accountId, 80)} is stored`);
  }
  for (const { text } of notes) cli.say(`note: ${showText(text, 400)}`);
}
