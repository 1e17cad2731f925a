import { RouterError } from '../errors.js';
import type { LeftArrival } from '../repo/arriving-logins.js';
import type { ChatLogins, ChatOwner, StoredChatLogin } from '../repo/chat-logins.js';
import type { OpenRepo } from '../repo/repo.js';
import type { HostNote } from '../slot/host.js';
import { isOver } from './chat-login-trouble.js';
import { endLeftArrivals } from './left-arrivals.js';
import type { Revocation } from './revocation.js';

interface LeftDeps {
  readonly logins: ChatLogins;
  /** ms epoch */
  now(): number;
}

export interface EndLeftDeps extends LeftDeps {
  readonly revocation: Revocation;
  /** The lock of one owner's login. @throws BUSY at once when somebody has it */
  withOwner<T>(owner: ChatOwner, work: () => Promise<T>): Promise<T>;
}

/** Logins that were made in a chat and that nobody kept in time; and what is damaged. Reads only. @throws IO, VAULT_NEWER */
export async function leftChatLogins({ logins, now }: LeftDeps): Promise<readonly LeftArrival[]> {
  const left: LeftArrival[] = [];
  for (const owner of await logins.owners()) {
    const stored = await look(logins, owner);
    if (stored !== null && isLogin(stored) && isDue(stored, now())) left.push(leftOf(logins, owner, stored));
  }
  return left;
}

/** The paths of all that hold a login, those that wait for their sender's word too. @throws IO, VAULT_NEWER */
export async function heldChatLogins({ logins }: Pick<LeftDeps, 'logins'>): Promise<readonly string[]> {
  const paths: string[] = [];
  for (const owner of await logins.owners()) {
    const stored = await look(logins, owner);
    if (stored !== null && isLogin(stored)) paths.push(logins.pathOf(owner));
  }
  return paths;
}

/**
 * Forgets what was begun in a chat and has expired, and ends what was made there and nobody kept in time, as `endLeftArrivals` does. One
 * whose sender may still keep it is left, and so is one that somebody is at work on.
 * @param openRepo called only when there is a login to be revoked
 * @param except whoever is told of their own
 */
export async function endLeftChatLogins(
  deps: EndLeftDeps,
  openRepo: () => Promise<OpenRepo>,
  except: ChatOwner | null = null,
): Promise<readonly HostNote[]> {
  const { logins, now } = deps;
  const notes: HostNote[] = [];
  for (const owner of (await logins.owners()).filter((one) => one !== except)) {
    const seen = await look(logins, owner);
    if (seen === null || !isDue(seen, now())) continue;
    const end = async () => {
      const stored = await look(logins, owner);
      if (stored === null || !isDue(stored, now())) return;
      if (isLogin(stored)) {
        const left = leftOf(logins, owner, stored);
        // Its sender is told when they ask for it.
        const how = stored !== 'damaged' && stored.kind === 'ending' ? stored.how : 'expired';
        const drop = () =>
          stored === 'damaged' ? left.drop() : logins.markUsed(owner, stored.login, how, now());
        notes.push(...(await endLeftArrivals(deps, await openRepo(), [{ ...left, drop }])));
      } else await logins.remove(owner);
    };
    await deps.withOwner(owner, end).catch((error: unknown) => {
      if (!(error instanceof RouterError) || error.code !== 'BUSY') throw error;
    });
  }
  return notes;
}

type Seen = StoredChatLogin | 'damaged';

function isLogin(seen: Seen): boolean {
  return seen === 'damaged' || seen.kind === 'held' || seen.kind === 'ending';
}

function isDue(seen: Seen, now: number): boolean {
  return seen === 'damaged' || seen.kind === 'ending' || isOver(seen, now);
}

async function look(logins: ChatLogins, owner: ChatOwner): Promise<Seen | null> {
  try {
    return await logins.read(owner);
  } catch (error) {
    if (error instanceof RouterError && error.code === 'RECORD_DAMAGED') return 'damaged';
    throw error;
  }
}

function leftOf(logins: ChatLogins, owner: ChatOwner, stored: Seen): LeftArrival {
  const isHeld = stored !== 'damaged' && (stored.kind === 'held' || stored.kind === 'ending');
  const held = isHeld ? stored : null;
  return {
    path: logins.pathOf(owner),
    person: held?.person ?? null,
    how: 'that was made in a chat and that nobody kept there',
    open: (sealer) => {
      if (held === null) return null;
      try {
        return logins.openHeld(sealer, owner, held).holding.grant;
      } catch (error) {
        if (error instanceof RouterError && error.code === 'RECORD_DAMAGED') return null;
        throw error;
      }
    },
    drop: () => logins.remove(owner),
  };
}
