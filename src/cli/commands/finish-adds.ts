import { RouterError } from '../../errors.js';
import { withGrantLock } from '../../os/lock.js';
import { arrivingLoginsIn, type LeftArrival } from '../../repo/arriving-logins.js';
import { type ChatOwner, chatLoginsIn } from '../../repo/chat-logins.js';
import type { OpenRepo } from '../../repo/repo.js';
import { type EndLeftDeps, endLeftChatLogins, leftChatLogins } from '../../router/chat-login-left.js';
import { type Finished, finishAdds } from '../../router/finish-adds.js';
import { endLeftArrivals } from '../../router/left-arrivals.js';
import type { LeftLogin } from '../../router/left-logins.js';
import type { Host, HostNote } from '../../slot/host.js';
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
 * Called first by every command that brings logins in: lists what a crash left unlisted, ends what interrupted logins left, and stores what
 * interrupted `add`s left, and says so. Where there is nothing, it costs the listing of a few folders, and no vault is opened.
 */
export async function finishLeftAdds(cli: Cli, options: HostOptions & KeyOptions): Promise<void> {
  const parts = compose(cli, options, true);
  await mendIndex(parts);
  await endArrivals(cli, parts);
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

/** Lists records that a crash left ahead of the index. What is worse than that is for the command to say. */
export async function mendIndex(parts: Parts): Promise<void> {
  const isBehind = await parts.repo.list().then(
    () => parts.repo.isBehind(),
    () => false,
  );
  if (!isBehind) return;
  const repo = await parts.openRepo();
  await parts.withLock(() => repo.mend());
}

/** Revokes what logins that were killed left, and those that were made in a chat and not kept there, and says so. @param except whose own is left */
export async function endArrivals(cli: Cli, parts: Parts, except: ChatOwner | null = null): Promise<void> {
  const tell = ({ text }: HostNote) => cli.say(`note: ${showText(text, 600)}`);
  const left = await arrivingLoginsIn(parts.folders.data, cli.now).left();
  if (left.length > 0) (await endLeftArrivals(parts, await parts.openRepo(), left)).forEach(tell);
  (await endLeftChatLogins(chatLeftDeps(cli, parts), parts.openRepo, except)).forEach(tell);
}

/** Logins that were made and that nobody has agreed to keep, and can no more. Reads only. */
export async function leftArrivals(cli: Cli, parts: Parts): Promise<readonly LeftArrival[]> {
  const interrupted = await arrivingLoginsIn(parts.folders.data, cli.now).left();
  return [...interrupted, ...(await leftChatLogins(chatLeftDeps(cli, parts)))];
}

function chatLeftDeps({ now }: Cli, { folders: { data }, revocation }: Parts): EndLeftDeps {
  return {
    logins: chatLoginsIn(data),
    revocation,
    withOwner: (owner, work) => withGrantLock(data, owner, work, { wait: 0 }),
    now,
  };
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
