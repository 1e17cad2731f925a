import type { SessionEntry } from '../../slot/pins.js';
import { canonicalKey, isChat } from '../../slot/session.js';
import type { UseDocument } from '../documents.js';

/** Who moves with this chat when the slot changes. */
export interface Others {
  readonly chats: number;
  /** Sessions of cron, helpers and the like. */
  readonly background: number;
  /** Agents beside this chat's. */
  readonly agents: readonly string[];
  /** There are so many sessions that the older ones were not looked at. */
  readonly more: boolean;
}

/** As a plan or an answer of `use` names them. */
export function othersOf(document: UseDocument, session: string): Others {
  const { affects, pins, slot, notes } = document;
  const own = new Set([session, ...pins.map(({ key }) => key)].map(canonicalKey));
  const moving = affects.sessions.filter((key) => !own.has(canonicalKey(key)));
  const chats = moving.filter((key) => isChat({ ...NOBODY, key })).length;
  return {
    chats,
    background: moving.length - chats,
    agents: affects.agents.filter((agent) => agent !== slot.agent),
    more: notes.some(({ code }) => code === 'SESSIONS_NOT_LISTED'),
  };
}

const NOBODY: SessionEntry = {
  key: '',
  updatedAt: 0,
  pinnedTo: null,
  pinSource: null,
  channel: null,
  from: null,
  to: null,
  accountId: null,
  spawnedBy: null,
};

export function countOf({ chats, background, agents, more }: Others): number {
  return chats + background + agents.length + (more ? 1 : 0);
}

/** "3 other chats and agent work", as the subject of a sentence; null for nobody. */
export function othersText({ chats, background, agents, more }: Others): string | null {
  const parts = [
    ...(chats > 0 ? [`${chats}${more ? ' or more' : ''} other ${chats === 1 ? 'chat' : 'chats'}`] : []),
    ...(chats === 0 && more ? ['older chats'] : []),
    ...(background > 0 ? [`${background} background ${background === 1 ? 'session' : 'sessions'}`] : []),
    ...(agents.length > 0 ? [`${agents.length === 1 ? 'agent' : 'agents'} ${agents.join(', ')}`] : []),
  ];
  if (parts.length === 0) return null;
  const last = parts.pop();
  return parts.length === 0 ? (last ?? null) : `${parts.join(', ')} and ${last}`;
}
