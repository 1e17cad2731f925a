import { RouterError } from '../errors.js';
import type { Env } from '../os/folders.js';
import type { SessionEntry } from './pins.js';

/** Which session the person means; `key` is what `--session` was given, full or without `agent:<id>:`. */
export type SessionWish =
  | { readonly kind: 'current' }
  | { readonly kind: 'key'; readonly key: string }
  | { readonly kind: 'all' }
  | { readonly kind: 'none' }
  /** What came of looking for the chat that OPENCLAW_CHANNEL_CONTEXT names. */
  | { readonly kind: 'context'; readonly key: string | null; readonly why: string }
  /** The pins of an earlier switch, which is brought to its end. */
  | { readonly kind: 'again'; readonly pins: readonly { readonly agent: string; readonly key: string }[] }
  /** These, the first one as the current one, in the slot of `agent`; no other entry is written, also none that an upgrade left over. */
  | {
      readonly kind: 'only';
      readonly agent: string;
      readonly pins: readonly { readonly agent: string; readonly key: string }[];
    };

export interface CurrentSession {
  /** The entry's key as it is stored; null when no session is pinned, for the reason `why` gives. */
  readonly key: string | null;
  readonly why: string;
}

/**
 * DESIGN's word "current session", among the entries of one agent.
 * @throws SESSION_NOT_FOUND when a key was named that no entry has; the hint offers the nearest ones.
 */
export function currentSession(
  entries: readonly SessionEntry[],
  wish: SessionWish,
  env: Env,
): CurrentSession {
  if (wish.kind === 'none') return { key: null, why: 'no session was to be pinned' };
  if (wish.kind === 'all') return { key: null, why: 'every session that follows the slot' };
  if (wish.kind === 'again') return { key: null, why: 'those of the switch that is brought to its end' };
  if (wish.kind === 'only') {
    const found = findSession(entries, wish.pins[0]?.key ?? '');
    return { key: found?.key ?? null, why: 'named for failover' };
  }
  if (wish.kind === 'key') {
    const found = findSession(entries, wish.key);
    if (found !== null) return { key: found.key, why: 'given with --session' };
    throw notFound(entries, wish.key);
  }
  if (wish.kind === 'context') {
    if (wish.key === null) return { key: null, why: wish.why };
    const found = findSession(entries, wish.key);
    return found === null
      ? { key: null, why: 'the chat that OPENCLAW_CHANNEL_CONTEXT names is one of another agent' }
      : { key: found.key, why: wish.why };
  }
  const told = keyTold(env);
  if (told !== null) return fromEnvironment(entries, told);
  if (isSet(env.OPENCLAW_SHELL) || isSet(env.OPENCLAW_CHANNEL_CONTEXT)) {
    return { key: null, why: 'inside a chat that does not say which one it is: nothing is guessed' };
  }
  const latest = entries.filter(isChat).reduce<SessionEntry | null>(later, null);
  if (latest === null) return { key: null, why: 'the agent has no chat yet' };
  return { key: latest.key, why: 'the most recently active chat' };
}

/** The key in CODEX_ROUTER_SESSION_KEY, which the plugin gives to commands; null when it is not set. */
export function keyTold(env: Env): string | null {
  return env.CODEX_ROUTER_SESSION_KEY?.trim() || null;
}

/** The key that is to be found among the entries, however many there are; null when none was named. */
export function keyMeant(wish: SessionWish, env: Env): string | null {
  if (wish.kind === 'key' || wish.kind === 'context') return wish.key;
  return wish.kind === 'current' ? keyTold(env) : null;
}

/** The agent whose chat is meant, or in whose chat this is asked; null where no key says. */
export function agentMeant(wish: SessionWish, env: Env): string | null {
  if (wish.kind === 'only') return wish.agent;
  const key = 'key' in wish ? wish.key : keyTold(env);
  return key === null ? null : agentOf(key);
}

/** A chat that does not exist yet is never created: its first turn follows the order, and so the slot. */
function fromEnvironment(entries: readonly SessionEntry[], told: string): CurrentSession {
  const found = findSession(entries, told);
  if (found === null)
    return { key: null, why: 'the chat named by CODEX_ROUTER_SESSION_KEY has no entry here' };
  if (isSlash(found.key)) {
    return { key: null, why: 'CODEX_ROUTER_SESSION_KEY names a slash entry, which no turn runs on' };
  }
  return { key: found.key, why: 'given by CODEX_ROUTER_SESSION_KEY' };
}

function later(best: SessionEntry | null, entry: SessionEntry): SessionEntry {
  if (best === null || entry.updatedAt > best.updatedAt) return entry;
  return entry.updatedAt === best.updatedAt && entry.key < best.key ? entry : best;
}

/** The entry a full key, or a key without its agent, names; OpenClaw's keys are trimmed and lower-case. */
export function findSession(entries: readonly SessionEntry[], key: string): SessionEntry | null {
  const wanted = canonicalKey(key);
  if (wanted === '') return null;
  const full = entries.find((entry) => canonicalKey(entry.key) === wanted);
  if (full !== undefined) return full;
  const bare = entries.filter((entry) => keyRest(entry.key) === wanted);
  return bare.length === 1 ? (bare[0] ?? null) : null;
}

/** OpenClaw's `normalizeStoreSessionKey`: the one it merges the spellings of a key into. */
export function canonicalKey(key: string): string {
  return key.trim().toLowerCase();
}

/** The agent a key names; null for a key without one. */
export function agentOf(key: string): string | null {
  return /^agent:([^:]+):/.exec(canonicalKey(key))?.[1] ?? null;
}

/** What follows `agent:<id>:`; the whole key where it has no agent. */
export function keyRest(key: string): string {
  return canonicalKey(key).replace(/^agent:[^:]+:/, '');
}

/** A conversation a person has; not a slash, sub-agent, cron, heartbeat, hook, acp or dreaming entry. */
export function isChat(entry: SessionEntry): boolean {
  const rest = keyRest(entry.key);
  return (
    entry.spawnedBy === null &&
    !isSlash(entry.key) &&
    !/^(subagent|cron|hook|acp):/.test(rest) &&
    !rest.startsWith('dreaming-') &&
    !rest.includes(':subagent:') &&
    !rest.endsWith(':heartbeat')
  );
}

export function isSlash(key: string): boolean {
  return /(^|:)slash:./.test(keyRest(key));
}

function notFound(entries: readonly SessionEntry[], wanted: string): RouterError {
  const near = nearest(entries, canonicalKey(wanted));
  return new RouterError('SESSION_NOT_FOUND', 'the agent has no session of that key', {
    hint: near.length === 0 ? 'openclaw sessions lists them' : `did you mean ${near.join(', ')}`,
  });
}

const NEAR = 3;
const PLAIN_KEY = /^[\x21-\x7e]{1,120}$/;

/** Up to three keys that share most with what was typed, the latest first among equals. */
function nearest(entries: readonly SessionEntry[], wanted: string): string[] {
  const words = wanted.split(':').filter((word) => word !== '' && word !== 'agent');
  return entries
    .filter((entry) => isChat(entry) && PLAIN_KEY.test(entry.key))
    .map((entry) => ({ entry, shared: shares(keyRest(entry.key), words) }))
    .sort((a, b) => b.shared - a.shared || b.entry.updatedAt - a.entry.updatedAt)
    .slice(0, NEAR)
    .map(({ entry }) => entry.key);
}

function shares(rest: string, words: readonly string[]): number {
  const parts = rest.split(':');
  return words.filter((word) =>
    parts.some((part) => part === word || (word.length > 2 && part.includes(word))),
  ).length;
}

function isSet(value: string | undefined): boolean {
  return value !== undefined && value.trim() !== '';
}
