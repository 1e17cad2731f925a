import type { Identity } from '../../identity.js';
import { affectedBy, companionsOf, type PinRules } from '../../slot/companions.js';
import type { Host, SlotGroup } from '../../slot/host.js';
import type { SessionEntry } from '../../slot/pins.js';
import { findSession, isChat } from '../../slot/session.js';
import { problemOf, type SlotAddress } from '../../slot/slot.js';
import type { Chat } from './chat.js';

/** What OpenClaw's own stores say of this chat, read now. */
export interface Look {
  readonly slot: SlotAddress;
  readonly occupant: Identity | null;
  /** ms epoch, of the login in the slot. */
  readonly expiresAt: number | null;
  /** What is in the slot that is no login, in words; null for a login and for nothing. */
  readonly problem: string | null;
  /** This chat's entry; null where it has none yet, or its session is not known. */
  readonly entry: SessionEntry | null;
  /** Entries that are pinned together with this chat's. */
  readonly companions: readonly SessionEntry[];
  /** Other chats that follow the slot: those among the sessions that were looked at. */
  readonly others: number;
}

/** Reads the slot, this chat's pin and who else follows the slot; writes nothing. @throws HOST_*, AGENT_NOT_FOUND, SLOT_UNREADABLE */
export async function lookAt(chat: Chat): Promise<Look> {
  const { session } = chat.request;
  const host = await chat.parts.host();
  const group = await host.slotsFor(chat.agent ?? host.defaultAgent);
  const { occupant, neighbours } = await group.main.read();
  const rules = rulesOf(
    host,
    group,
    neighbours.map(({ profileId }) => profileId),
  );
  const { entries } = await host.pinsOf(group.agent).survey(session);
  const entry = session === null ? null : findSession(entries, session);
  const companionKeys = entry === null ? [] : companionsOf(entry.key, entries, rules);
  let others = 0;
  for (const agent of group.follows) {
    const seen = agent === group.agent ? entries : (await host.pinsOf(agent).survey(null)).entries;
    const following = new Set(affectedBy(seen, rules).sessions);
    others += seen.filter((one) => following.has(one.key) && isChat(one) && one !== entry).length;
  }
  return {
    slot: group.main.address,
    occupant: occupant.kind === 'login' ? occupant.identity : null,
    expiresAt: occupant.kind === 'login' ? occupant.grant.expiresAt : null,
    problem: occupant.kind === 'login' ? null : problemOf(occupant),
    entry,
    companions: entries.filter(({ key }) => companionKeys.includes(key)),
    others: others - entries.filter((one) => companionKeys.includes(one.key) && isChat(one)).length,
  };
}

function rulesOf({ summary }: Host, { main }: SlotGroup, neighbours: readonly string[]): PinRules {
  const { provider, formerProvider } = summary;
  const slotProfileId = main.address.profileId;
  return {
    slotProfileId,
    provider,
    formerProvider,
    knownProfileIds: new Set([slotProfileId, ...neighbours]),
  };
}
