import type { JsonObject } from '../json.js';
import type { PinOutcome } from '../slot/pins.js';
import type { SdkRequest, SentSession } from './sdk-message.js';
import { load, type Module, objectOf, parseDocument, Trouble } from './sdk-module.js';
import { isPinned, pinOf } from './session-entry.js';

const SESSION_FIELDS = [
  'updatedAt',
  'authProfileOverride',
  'authProfileOverrideSource',
  'authProfileOverrideCompactionCount',
  'channel',
  'lastChannel',
  'lastTo',
  'lastAccountId',
  'deliveryContext',
  'delivery',
  'origin',
  'spawnedBy',
];

/** @throws Trouble */
export async function listSessions(root: string, sessions: Module, agent: string): Promise<SentSession[]> {
  const list = sessions.find('listSessionEntries');
  if (list !== null) {
    // The last two: 9.6 then opens the database to read only; 7.35 then leaves out what nobody asked for.
    const found: unknown = await list({ agentId: agent, readOnly: true, hydrateSkillPromptRefs: false });
    if (!Array.isArray(found)) throw new Trouble('refused', 'a list of sessions that is none');
    return found.map(parseListed);
  }
  const store: unknown = sessions.need('loadSessionStore')(await storePath(root, sessions, agent));
  if (typeof store !== 'object' || store === null)
    throw new Trouble('refused', 'a session store that is none');
  return Object.entries(store).map(([key, entry]) => ({ key, entry: narrowed(entry) }));
}

function parseListed(found: unknown): SentSession {
  if (typeof found === 'object' && found !== null && 'sessionKey' in found && 'entry' in found) {
    if (typeof found.sessionKey === 'string') return { key: found.sessionKey, entry: narrowed(found.entry) };
  }
  throw new Trouble('refused', 'a session without a key');
}

function narrowed(entry: unknown): JsonObject {
  if (typeof entry !== 'object' || entry === null)
    throw new Trouble('refused', 'a session that is no object');
  const kept = Object.entries(entry).filter(([name]) => SESSION_FIELDS.includes(name));
  return parseDocument(JSON.stringify(Object.fromEntries(kept)));
}

/** Through 5.18 the callers resolve `session.store` themselves. */
async function storePath(root: string, sessions: Module, agent: string): Promise<unknown> {
  const config = await load(root, 'config-runtime');
  const read = config.find('getRuntimeConfig') ?? config.need('loadConfig');
  const found = objectOf(read());
  const session: unknown = 'session' in found ? found.session : null;
  const store =
    typeof session === 'object' && session !== null && 'store' in session ? session.store : undefined;
  return sessions.need('resolveStorePath')(store, { agentId: agent });
}

/** Points each entry at the profile, and reads it back. @throws Trouble */
export async function pinAll(
  root: string,
  sessions: Module,
  request: SdkRequest & { op: 'pin' },
): Promise<PinOutcome[]> {
  const { agent, keys, profileId } = request;
  const patch = sessions.find('patchSessionEntry');
  const place = patch === null ? { storePath: await storePath(root, sessions, agent) } : { agentId: agent };
  const write = patch ?? sessions.need('updateSessionStoreEntry');
  const readBack = patch === null ? null : sessions.find('getSessionEntry');
  const pin = {
    authProfileOverride: profileId ?? undefined,
    authProfileOverrideSource: profileId === null ? undefined : 'user',
    authProfileOverrideCompactionCount: undefined,
  };
  const outcomes: PinOutcome[] = [];
  for (const key of keys) {
    const seen: { before: Seen | null } = { before: null };
    const change = (found: unknown) => {
      const entry = narrowed(found);
      const already = isPinned(entry, profileId);
      seen.before = { was: pinOf(entry), already };
      return already ? null : pin;
    };
    // The pin alone is written: the session counts as no more active than it was, and OpenClaw's clearing-up waits for its own next write.
    const after = await write({
      ...place,
      sessionKey: key,
      preserveActivity: true,
      skipMaintenance: true,
      update: change,
    });
    const now = readBack === null ? after : await readBack({ ...place, sessionKey: key });
    outcomes.push(outcomeOf(key, profileId, seen.before, now));
  }
  return outcomes;
}

/** The entry before it was pinned. */
interface Seen {
  readonly was: string | null;
  readonly already: boolean;
}

function outcomeOf(key: string, profileId: string | null, seen: Seen | null, after: unknown): PinOutcome {
  if (seen === null || (after ?? null) === null)
    return { key, was: seen?.was ?? null, is: null, result: 'gone' };
  const { was } = seen;
  if (seen.already) return { key, was, is: was, result: 'already' };
  const entry = narrowed(after);
  return isPinned(entry, profileId)
    ? { key, was, is: profileId, result: 'set' }
    : { key, was, is: pinOf(entry), result: 'pending' };
}
