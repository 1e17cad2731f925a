import { RouterError } from '../errors.js';
import type { Grant } from '../grant.js';
import { type Identity, identityKey, sameIdentity } from '../identity.js';
import type { IndexEntry, OpenRepo } from '../repo/repo.js';
import type { Secret } from '../secret.js';
import type { Host, HostNote } from '../slot/host.js';
import { isOwnSlot } from '../slot/own-slot.js';
import type { CodexHomes } from './lend-source.js';
import { handedOver } from './lent.js';
import { loginsIn, neighbourId } from './places.js';

/** Whose copy of an identity's own access token is looked at: its holder's. */
export type HeldBy = 'slot' | 'store' | 'codex';

/** An access token of exactly one identity, or why there is none at hand. */
export type OwnToken = { readonly heldBy: HeldBy; readonly agent: string | null } & (
  | { readonly kind: 'token'; readonly token: Secret; readonly expiresAt: number }
  | { readonly kind: 'refreshing' }
  | { readonly kind: 'none'; readonly why: string; readonly remedy: string | null }
);

interface SlotLogin {
  readonly identity: Identity;
  readonly agent: string;
  /** Whether it is the slot's own entry, not a login beside it. */
  readonly isOccupant: boolean;
  readonly grant: Grant;
}

/** Who lies in the stores of a host, as one look found it. */
export interface SlotLogins {
  readonly logins: readonly SlotLogin[];
  /** Slots whose login the host is refreshing just now: by `SlotAddress.id`, with the workspace where the entry says it. */
  readonly refreshing: readonly {
    readonly slot: string;
    readonly agent: string;
    readonly accountId: string | null;
  }[];
  readonly notes: readonly HostNote[];
}

/** Reads every slot of the host; one that cannot be read is a note. */
export async function slotLogins(host: Host | null): Promise<SlotLogins> {
  const logins: SlotLogin[] = [];
  const refreshing: SlotLogins['refreshing'][number][] = [];
  const notes: HostNote[] = [];
  for (const slot of host === null ? [] : await host.allSlots()) {
    const { id, agent, profileId: own } = slot.address;
    try {
      const reading = await slot.read();
      for (const { login, profileId } of loginsIn(slot, reading)) {
        logins.push({
          identity: login.identity,
          agent,
          isOccupant: profileId === own || isOwnSlot(profileId),
          grant: login.grant,
        });
      }
      const { occupant, neighbours } = reading;
      if (occupant.kind === 'refreshing') refreshing.push({ slot: id, agent, accountId: occupant.accountId });
      // Beside its slot, an own slot's fence is only something that is no login; who is placed there tells whose it is.
      for (const { kind, profileId } of neighbours) {
        if (kind !== 'foreign' || !isOwnSlot(profileId)) continue;
        refreshing.push({ slot: neighbourId(slot.address, profileId), agent, accountId: null });
      }
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
      notes.push({
        code: error.code,
        text: `the slot of agent ${agent} was not looked at: ${error.message}`,
      });
    }
  }
  return { logins, refreshing, notes };
}

export interface TokenDeps {
  readonly homes: () => Promise<CodexHomes>;
  /** Called for an identity that only the repo holds. */
  readonly open: () => Promise<OpenRepo>;
}

/**
 * The access token of one identity from whoever holds it: the host while it is in one of its stores, the Codex home that it was handed
 * over to, else the repo. Reads only.
 * @param entry null for somebody in a slot who is not stored
 * @throws what `open` throws; what is wrong with this one login is `none`
 */
export async function ownToken(
  { homes, open }: TokenDeps,
  identity: Identity,
  entry: IndexEntry | null,
  seen: SlotLogins,
): Promise<OwnToken> {
  const held = seen.logins.filter((login) => sameIdentity(login.identity, identity));
  const [best] = held.sort(
    (a, b) => Number(b.isOccupant) - Number(a.isOccupant) || b.grant.expiresAt - a.grant.expiresAt,
  );
  if (best !== undefined) return { heldBy: 'slot', agent: best.agent, ...tokenIn(best.grant) };
  const fence = seen.refreshing.find(
    ({ slot, accountId }) =>
      entry?.placement?.slot === slot && (accountId ?? identity.accountId) === identity.accountId,
  );
  if (fence !== undefined) return { heldBy: 'slot', agent: fence.agent, kind: 'refreshing' };
  const lent = entry === null ? null : handedOver(entry);
  if (lent !== null) {
    const grant = await grantAt(homes, lent.folder, identity);
    if (grant !== null) return { heldBy: 'codex', agent: null, ...tokenIn(grant) };
  }
  const repo = await open();
  try {
    const { grant } = await repo.load(identityKey(identity));
    return { heldBy: 'store', agent: null, ...tokenIn(grant) };
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    return { heldBy: 'store', agent: null, kind: 'none', why: error.message, remedy: error.hint ?? null };
  }
}

function tokenIn({ accessToken, expiresAt }: Grant) {
  return { kind: 'token', token: accessToken, expiresAt } as const;
}

/** Null where that Codex home is gone, cannot be read, or holds somebody else: the stored copy is the same identity's own. */
async function grantAt(homes: TokenDeps['homes'], folder: string, identity: Identity): Promise<Grant | null> {
  try {
    const there = await (await (await homes()).at(folder))?.read();
    if (there?.kind !== 'login' || !sameIdentity(there.holding.identity, identity)) return null;
    return there.holding.grant;
  } catch (error) {
    if (error instanceof RouterError) return null;
    throw error;
  }
}
