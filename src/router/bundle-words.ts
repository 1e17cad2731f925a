import { isAbsolute } from 'node:path';
import { EXIT_OF, RouterError } from '../errors.js';
import type { Identity } from '../identity.js';
import { identityKey } from '../identity.js';
import type { SessionEntry } from '../slot/pins.js';
import { isSlash, keyRest } from '../slot/session.js';
import { FINDING_CODES } from './finding-codes.js';
import { spanText } from './times.js';

/**
 * The only ways a text gets into a bundle: each gives a word of our own, a number, or a pseudonym, whatever it is given. Nothing is
 * filtered: what is not known is `other`.
 */
export type Word = string & { readonly word: unique symbol };

/** Made by nobody else: a constant of this program's own text, or what one of the functions here has built. */
function word(text: string): Word {
  return text as Word;
}

export function oneOf(known: readonly string[], value: string | null | undefined): Word {
  const found = known.find((one) => one === value);
  return word(found ?? (value === null || value === undefined ? 'none' : 'other'));
}

/** `2026.9.6`, `0.1.0`; a suffix as far as it is one that releases have. An address of four numbers is none. */
export function versionWord(text: string | null | undefined): Word {
  if (text === null || text === undefined) return word('none');
  const found =
    /^v?(\d{1,4}\.\d{1,4}(?:\.\d{1,4})?)(?:-((?:alpha|beta|rc)(?:\.\d{1,3})?|\d{1,2}))?(.*)$/s.exec(text);
  if (found?.[1] === undefined) return word('other');
  const [, numbers, suffix, rest = ''] = found;
  if (/^\.?\d/.test(rest)) return word('other');
  return word(`${numbers}${suffix === undefined ? '' : `-${suffix}`}${rest === '' ? '' : ' (and more)'}`);
}

/** A code of ours, where it is one of those that are known. */
export function codeWord(text: string, known: readonly string[]): Word {
  return word(known.includes(text) ? text : 'OTHER');
}

/** The codes of what is noted of a host, and of the errors that notes are made of. */
// biome-ignore format: words, as many in a line as it holds
export const NOTE_CODES: readonly string[] = [
  'AGENTS_FOLLOW', 'AGENTS_SHADOW', 'AGENTS_TIED', 'AGENT_FOREIGN', 'AGENT_GETS_OWN_SLOT', 'AGENT_UNREADABLE',
  'CODEX_OVERWRITES', 'CONFIG_MODE_DIFFERS', 'CONFIG_NAMES_EMAIL', 'GATEWAY_MAY_ROTATE', 'GATEWAY_UNPROVED',
  'JSON_LEFTOVER', 'LABEL_LEFT', 'LABEL_REMOVED', 'LEGACY_STATE_DIR', 'PROFILE_OVERRULED',
  'RELEASE_INSTALLED', 'RELEASE_NOT_INSTALLED', 'RELEASE_TOLD', 'STATE_FROM_LATER_RELEASE', 'STATE_MOVED',
  'STORE_EMPTY', 'STORE_JSON', 'PROVIDER', 'NOT_LOOKED_AT', 'REFUSED', ...FINDING_CODES, 'STORE_SQLITE_AGENT',
  'STORE_SQLITE_SHARED', 'WAY_DIRECT', 'WAY_SDK', ...Object.keys(EXIT_OF),
];

export function errorWord(error: unknown): Word {
  const code = error instanceof RouterError ? error.code : 'BUG';
  return word(code in EXIT_OF ? code : 'OTHER');
}

/** `3 h 10 min ago`, `in 2 d`. @param at ms epoch */
export function ageWord(at: number, now: number): Word {
  if (!Number.isFinite(at)) return word('other');
  const text = spanText(Math.abs(now - at));
  return word(now >= at ? `${text} ago` : `in ${text}`);
}

/** `0600` */
export function modeWord(mode: number): Word {
  return word((mode & 0o777).toString(8).padStart(4, '0'));
}

/** Plans that tell nothing of who has them. */
// biome-ignore format: words, as many in a line as it holds
const PLANS = [
  'free', 'go', 'plus', 'pro', 'prolite', 'team', 'business', 'enterprise', 'edu', 'education', 'guest',
  'free_workspace', 'self_serve_business_usage_based', 'enterprise_cbp_usage_based', 'k12', 'finserv',
];

export function planWord(plan: string | null): Word {
  return oneOf(PLANS, plan);
}

/** How the release was told. @param source `Release.source` */
export function sourceWord(source: string): Word {
  if (isAbsolute(source)) return word('an installed program');
  if (source.startsWith('openclaw.json')) return word('openclaw.json');
  return word(source === 'the running gateway' ? source : 'other');
}

// biome-ignore format: words, as many in a line as it holds
const CHANNELS = [
  'telegram', 'discord', 'slack', 'whatsapp', 'signal', 'imessage', 'webchat', 'matrix', 'msteams',
  'googlechat', 'mattermost', 'line', 'irc', 'zalo', 'nostr', 'feishu', 'twitch', 'bluebubbles', 'cli',
];

export function channelWord({ channel, key }: Pick<SessionEntry, 'channel' | 'key'>): Word {
  const [first = ''] = keyRest(key).split(':');
  return oneOf(CHANNELS, channel?.trim().toLowerCase() ?? (CHANNELS.includes(first) ? first : null));
}

/** What sort of conversation an entry is of. */
export function sessionWord({ key, spawnedBy }: Pick<SessionEntry, 'key' | 'spawnedBy'>): Word {
  const rest = keyRest(key);
  const starts = /^(subagent|cron|hook|acp):/.exec(rest)?.[1];
  if (isSlash(key)) return word('slash');
  if (starts !== undefined) return oneOf(['subagent', 'cron', 'hook', 'acp'], starts);
  if (spawnedBy !== null || rest.includes(':subagent:')) return word('subagent');
  if (rest.endsWith(':heartbeat')) return word('heartbeat');
  if (rest.startsWith('dreaming-')) return word('dreaming');
  if (rest === 'main') return word('main');
  const thread = rest.includes(':thread:') ? ' thread' : '';
  const kind = /(?:^|:)(group|channel|direct|dm)(?::|$)/.exec(rest)?.[1];
  return word(`${kind === undefined ? 'other' : kind === 'dm' ? 'direct' : kind}${thread}`);
}

/** Names for who and what must not be named: the same one for the same thing, in this bundle only. */
export interface Pseudonyms {
  identity(who: Pick<Identity, 'accountId' | 'userId'> | null): Word;
  /** `main` is everybody's. */
  agent(id: string): Word;
  profile(id: string, slot: string | null): Word;
}

export function pseudonyms(): Pseudonyms {
  const given = (kind: string) => {
    const seen = new Map<string, Word>();
    return (key: string): Word => {
      const known = seen.get(key) ?? word(`${kind} ${seen.size + 1}`);
      seen.set(key, known);
      return known;
    };
  };
  const [identity, agent, profile] = [given('identity'), given('agent'), given('profile')];
  return {
    identity: (who) => (who === null ? word('nobody') : identity(identityKey(who))),
    agent: (id) => (id === 'main' ? word('main') : agent(id)),
    profile: (id, slot) => (id === slot ? word('the slot') : profile(id)),
  };
}

/** Names that OpenClaw gives its files and folders; every other part of a path is left out. */
// biome-ignore format: words, as many in a line as it holds
const HOST_NAMES: ReadonlySet<string> = new Set([
  'agents', 'agent', 'auth-profiles.json', 'auth-state.json', 'auth.json', 'sessions', 'sessions.json',
  'openclaw-agent.sqlite', 'openclaw.sqlite', 'state', 'openclaw.json', 'locks', 'oauth-refresh',
  'credentials',
]);

/** `<state>/agents/main/agent/auth-profiles.json`. @param inside the path from the state directory */
export function hostPathWord(inside: string, names: Pseudonyms): Word {
  const parts = inside.split(/[\\/]/);
  const isOutside = isAbsolute(inside) || parts[0] === '..';
  const shown = parts.map((part, place) => {
    if (parts[place - 1] === 'agents' && place === 1) return names.agent(part);
    const [plain = '', lock] = part.endsWith('.lock') ? [part.slice(0, -5), '.lock'] : [part, ''];
    return HOST_NAMES.has(plain) ? `${plain}${lock}` : `*${lock}`;
  });
  return word(isOutside ? `<elsewhere>/${shown.at(-1)}` : `<state>/${shown.join('/')}`);
}
