import { RouterError } from '../errors.js';
import type { Env } from '../os/folders.js';
import type { Host } from '../slot/host.js';
import type { SessionEntry } from '../slot/pins.js';
import { agentMeant, canonicalKey, currentSession, keyMeant, type SessionWish } from '../slot/session.js';
import { meantSession } from './chat-session.js';

/** Whose agent and which of its sessions a look is about. */
export interface LookedAt {
  readonly agent: string;
  /** The entry's key as it is stored; null where none is meant, for the reason `why` gives. */
  readonly key: string | null;
  readonly why: string;
  readonly entry: SessionEntry | null;
  /** What was looked at of the agent's sessions: the one that is meant, the latest ones and every slash entry. */
  readonly entries: readonly SessionEntry[];
}

/**
 * The session that was named, or the current one. One that is not there, or cannot be read, is no error but a reason: this is for a look.
 * @param named the agent and the session's key as they were told; null for either that was not
 */
export async function lookedAt(
  host: Host,
  env: Env,
  named: { readonly agent: string | null; readonly session: string | null },
): Promise<LookedAt> {
  const told: SessionWish =
    named.session === null ? { kind: 'current' } : { kind: 'key', key: named.session };
  const wish = await meantSession(host, told, env);
  const meant = named.agent ?? agentMeant(wish, env) ?? host.defaultAgent;
  const agent = host.agents.find((id) => id === meant.trim().toLowerCase()) ?? meant;
  try {
    const { entries } = await host.pinsOf(agent).survey(keyMeant(wish, env));
    const { key, why } = currentSession(entries, wish, env);
    const entry = entries.find((one) => key !== null && canonicalKey(one.key) === canonicalKey(key)) ?? null;
    return { agent, key, why, entry, entries };
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    const near = error.code === 'SESSION_NOT_FOUND' && error.hint !== undefined ? ` (${error.hint})` : '';
    return { agent, key: null, why: `${error.message}${near}`, entry: null, entries: [] };
  }
}
