import { RouterError } from '../errors.js';
import { isObject, type JsonObject } from '../json.js';
import type { PinOutcome, Pins, SessionEntry } from '../slot/pins.js';
import { agentOf, canonicalKey } from '../slot/session.js';
import { type LockPatience, sessionsLock, withHostLocks } from './locks.js';
import { refuseForeignOwner } from './owner.js';
import { isPinned, parseSessionEntry, pinnedEntry, pinOf } from './session-entry.js';
import { hostAtWork, type KeptStore, keepPins, WATCH_MS } from './session-watch.js';
import {
  isUnchanged,
  type JsonFile,
  type Patience,
  readJsonFile,
  statOf,
  writeUnchanged,
} from './store-file.js';
import { type Replaced, replaceUnlocked } from './unlocked-write.js';

export interface PinsPlace {
  readonly agent: string;
  /** sessions.json; need not exist. */
  readonly path: string;
  readonly uid: number | null;
  readonly torn: Patience;
  readonly lock: LockPatience;
  /** Whether a gateway of this state directory runs; null where the host writes this file under its lock (through 4.29). */
  readonly gatewayRuns: (() => Promise<boolean>) | null;
  /** How long pins are watched while the host is at work; default 2000. */
  readonly watchMs?: number;
}

/** sessions.json of one agent: every release whose sessions lie there (through 7.35). */
export function jsonPins(place: PinsPlace): Pins {
  const load = loader(place);
  const pins = {
    agent: place.agent,
    read: async () => (await load())?.entries ?? [],
    survey: async () => ({ entries: (await load())?.entries ?? [], unread: 0 }),
  };
  const { gatewayRuns } = place;
  if (gatewayRuns === null) {
    return {
      ...pins,
      set: async (keys, profileId) => (await setPins(place, load, keys, profileId)).outcomes,
    };
  }
  let store: KeptStore | null = null;
  return {
    ...pins,
    set: async (keys, profileId) => {
      const before = await statOf(place.path);
      const work = before === null ? 'none' : await hostAtWork(before, gatewayRuns);
      const done = await setPins(place, load, keys, profileId, work !== 'none');
      const { path, watchMs = WATCH_MS } = place;
      store = { path, work, replaced: done.replaced, watchMs };
      return done.outcomes;
    },
    keep: async (outcomes, profileId) => {
      if (store === null) return outcomes;
      const { signal } = place.lock;
      const kept = signal === undefined ? store : { ...store, signal };
      store = null;
      return await keepPins(kept, outcomes, profileId, {
        look: async (keys) => lookAt(await load(), keys, profileId),
        putBack: async (keys) => await setPins(place, load, keys, profileId, true),
      });
    },
  };
}

interface Sessions extends JsonFile {
  readonly entries: readonly SessionEntry[];
}

type Load = () => Promise<Sessions | null>;

/** Ten thousand sessions are 20 MB: they are parsed again only when the bytes have changed. */
function loader(place: PinsPlace): Load {
  let known: Sessions | null = null;
  return async () => {
    const file = await readJsonFile(place.path, 'HOST_UNREADABLE', place.torn, known);
    if (file === null) return null;
    if (file === known) return known;
    known = { ...file, entries: parseSessions(place.path, file.value, place.agent) };
    return known;
  };
}

/**
 * With one store for several agents (`session.store` without `{agentId}`) the others' entries are left out.
 * @throws HOST_UNREADABLE naming the entry that is not an object.
 */
function parseSessions(path: string, store: JsonObject, agent: string): SessionEntry[] {
  const entries: SessionEntry[] = [];
  for (const [key, entry] of Object.entries(store)) {
    if (!isObject(entry)) {
      throw new RouterError('HOST_UNREADABLE', `cannot understand ${path}: an entry is not an object`, {
        hint: 'openclaw sessions says what is wrong; nothing was changed',
      });
    }
    const owner = agentOf(key);
    if (owner === null || owner === agent) entries.push(parseSessionEntry(key, entry));
  }
  return entries;
}

const ATTEMPTS = 5;
/** For a host that writes many times a second; its turns are seconds apart. */
const QUIET_MS = 1000;

/** What came of writing pins; `moved`: nothing was written. */
interface PinsWritten {
  readonly outcomes: readonly PinOutcome[];
  readonly replaced: Replaced;
}

/** @param quiet see `replaceUnlocked` */
async function setPins(
  place: PinsPlace,
  load: Load,
  keys: readonly string[],
  profileId: string | null,
  quiet = false,
): Promise<PinsWritten> {
  const none = (outcomes: readonly PinOutcome[]): PinsWritten => ({ outcomes, replaced: 'moved' });
  const deadline = performance.now() + (quiet ? QUIET_MS : 0);
  for (let attempt = 1; ; attempt += 1) {
    const file = await load();
    if (file === null) return none(keys.map((key) => ({ key, was: null, is: null, result: 'gone' })));
    const { store, outcomes } = plan(file, keys, profileId);
    if (outcomes.every(({ result }) => result !== 'set')) return none(outcomes);
    if (attempt === 1) await refuseForeignOwner([place.path], place.uid);
    // A big store takes long to parse and print: that is done outside the lock, the comparison inside it.
    // OpenClaw writes this file without a line break at the end.
    const text = JSON.stringify(store, null, 2);
    // From 5.2 on the lock keeps out only other codex-routers.
    const replaced = await withHostLocks([sessionsLock(place.path)], place.lock, async () => {
      if (place.gatewayRuns !== null) return await replaceUnlocked(place.path, text, file.bytes, quiet);
      return (await writeUnchanged(place.path, text, file.bytes)) ? 'written' : 'moved';
    });
    if (replaced !== 'moved') {
      return { outcomes: await proved(place, load, text, outcomes, profileId), replaced };
    }
    if (attempt >= ATTEMPTS && performance.now() >= deadline) {
      return none(
        outcomes.map((outcome) =>
          outcome.result === 'set' ? { ...outcome, is: outcome.was, result: 'pending' } : outcome,
        ),
      );
    }
  }
}

interface PinPlan {
  readonly store: JsonObject;
  readonly outcomes: readonly PinOutcome[];
}

function plan(
  { value: store, entries }: Sessions,
  keys: readonly string[],
  profileId: string | null,
): PinPlan {
  const byName = new Map(entries.map((entry) => [canonicalKey(entry.key), entry.key]));
  const changes = new Map<string, JsonObject>();
  const outcomes = keys.map((key): PinOutcome => {
    const name = Object.hasOwn(store, key) ? key : byName.get(canonicalKey(key));
    const entry = name === undefined ? undefined : store[name];
    if (name === undefined || !isObject(entry)) return { key, was: null, is: null, result: 'gone' };
    const was = pinOf(entry);
    if (isPinned(entry, profileId)) return { key, was, is: was, result: 'already' };
    changes.set(name, pinnedEntry(entry, profileId));
    return { key, was, is: profileId, result: 'set' };
  });
  if (changes.size === 0) return { store, outcomes };
  const next = Object.entries(store).map(([key, entry]) => [key, changes.get(key) ?? entry]);
  return { store: Object.fromEntries(next), outcomes };
}

/** What `set` would find now, without setting anything. */
function lookAt(
  file: Sessions | null,
  keys: readonly string[],
  profileId: string | null,
): readonly PinOutcome[] {
  if (file === null) return keys.map((key) => ({ key, was: null, is: null, result: 'gone' }));
  return plan(file, keys, profileId).outcomes;
}

/** What the file says now. From 5.2 the host ignores the lock and can write its own copy over ours. */
async function proved(
  place: PinsPlace,
  load: Load,
  written: string,
  outcomes: readonly PinOutcome[],
  profileId: string | null,
): Promise<readonly PinOutcome[]> {
  if (await isUnchanged(place.path, Buffer.from(written))) return outcomes;
  const file = await load();
  const keys = outcomes.map(({ key }) => key);
  const now = lookAt(file, keys, profileId);
  return outcomes.map((outcome, index) => {
    const seen = now[index];
    if (outcome.result !== 'set' || seen?.result === 'already') return outcome;
    return seen === undefined || seen.result === 'gone'
      ? { ...outcome, is: null, result: 'gone' }
      : { ...outcome, is: seen.was, result: 'pending' };
  });
}
