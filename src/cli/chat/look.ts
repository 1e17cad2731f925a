import type { Identity } from '../../identity.js';
import { affectedBy, companionsOf, type PinRules } from '../../slot/companions.js';
import type { Host, SlotGroup } from '../../slot/host.js';
import type { SessionEntry } from '../../slot/pins.js';
import { findSession, isChat } from '../../slot/session.js';
import { problemOf, type SlotAddress } from '../../slot/slot.js';
import type { Chat } from './chat.js';
import type { Others } from './others.js';

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
  /** Who else follows the slot, among the sessions that were looked at. */
  readonly others: Others;
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
  const { entries, unread } = await host.pinsOf(group.agent).survey(session);
  const entry = session === null ? null : findSession(entries, session);
  const companionKeys = entry === null ? [] : companionsOf(entry.key, entries, rules);
  const others: SessionEntry[] = [];
  let left = unread;
  for (const agent of group.follows) {
    const survey = agent === group.agent ? { entries, unread: 0 } : await host.pinsOf(agent).survey(null);
    const following = new Set(affectedBy(survey.entries, rules).sessions);
    others.push(...survey.entries.filter((one) => following.has(one.key) && one !== entry));
    left += survey.unread;
  }
  const moving = others.filter(({ key }) => !companionKeys.includes(key));
  const chats = moving.filter(isChat).length;
  return {
    slot: group.main.address,
    occupant: occupant.kind === 'login' ? occupant.identity : null,
    expiresAt: occupant.kind === 'login' ? occupant.grant.expiresAt : null,
    problem: occupant.kind === 'login' ? null : problemOf(occupant),
    entry,
    companions: entries.filter(({ key }) => companionKeys.includes(key)),
    others: {
      chats,
      background: moving.length - chats,
      agents: group.follows.filter((agent) => agent !== group.agent),
      more: left > 0,
    },
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
