/**
 * The SDK helper: its own process under the Node that runs OpenClaw, which imports the installed release's plugin SDK and lets
 * it read and write. Requests are JSON lines on stdin, answers JSON lines on descriptor 3 (sdk-message.ts); it ends when stdin does.
 */
import { createWriteStream, existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import type { Json, JsonObject } from '../json.js';
import type { PinOutcome } from '../slot/pins.js';
import { isObject } from './profiles.js';
import {
  decodeHolding,
  type SdkAnswer,
  type SdkOpening,
  type SdkRequest,
  type SdkTrouble,
  type SentSession,
} from './sdk-message.js';
import { isPinned, pinOf } from './session-entry.js';
import { changedDocuments, revisionOf } from './store-document.js';

class Trouble extends Error {
  readonly answer: SdkAnswer;

  constructor(trouble: SdkTrouble, what: string) {
    super(what);
    this.answer = { stage: 'failed', trouble, what };
  }
}

/** Its text may quote what it was given: only the kind is told. */
function kindOf(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name;
  return /^[A-Za-z_]{1,60}$/.test(code) ? code : 'Error';
}

type Call = (...args: readonly unknown[]) => unknown;
interface Module {
  /** @throws Trouble `missing` */
  need(name: string): Call;
  find(name: string): Call | null;
}

async function load(root: string, name: string): Promise<Module> {
  let exported: object;
  try {
    exported = parseNamespace(
      await import(pathToFileURL(join(root, 'dist', 'plugin-sdk', `${name}.js`)).href),
    );
  } catch (error) {
    throw new Trouble('import', kindOf(error));
  }
  const find = (wanted: string): Call | null => parseCall(Object.entries(exported), wanted);
  return {
    find,
    need(wanted) {
      const call = find(wanted);
      if (call === null) throw new Trouble('missing', wanted);
      return call;
    },
  };
}

function parseNamespace(found: unknown): object {
  return typeof found === 'object' && found !== null ? found : {};
}

function parseCall(entries: readonly [string, unknown][], name: string): Call | null {
  const found = entries.find(([key]) => key === name)?.[1];
  return typeof found === 'function' ? (found as Call) : null;
}

/** OpenClaw's store as it holds it in memory: changed in place, with whatever else it keeps in there. */
type LiveStore = { profiles: { [id: string]: Json } } & { [group: string]: Json };

function parseLiveStore(found: unknown): LiveStore {
  if (
    typeof found === 'object' &&
    found !== null &&
    'profiles' in found &&
    typeof found.profiles === 'object'
  ) {
    return found as LiveStore;
  }
  throw new Trouble('refused', 'a store without profiles');
}

const GROUPS = ['order', 'lastGood', 'usageStats'];

/** What is stored of it, as plain JSON. A sealed login that OpenClaw has opened (5.12) is shown as the open one it is. */
function documentOf(store: LiveStore): JsonObject {
  const document: JsonObject = parseDocument(
    JSON.stringify({
      version: store.version,
      profiles: store.profiles,
      ...Object.fromEntries(GROUPS.map((group) => [group, store[group]])),
    }),
  );
  const profiles = isObject(document.profiles) ? document.profiles : {};
  return {
    ...document,
    profiles: Object.fromEntries(Object.entries(profiles).map(([id, entry]) => [id, opened(entry)])),
  };
}

function parseDocument(text: string): JsonObject {
  return JSON.parse(text) as JsonObject;
}

function opened(entry: Json): Json {
  if (!isObject(entry) || typeof entry.access !== 'string' || typeof entry.refresh !== 'string') return entry;
  return Object.fromEntries(Object.entries(entry).filter(([name]) => name !== 'oauthRef'));
}

/**
 * Runs `change` on exactly the store of that folder, under OpenClaw's own lock; it returns whether to write. An error of
 * the update is swallowed there in every release (5.12 to 9.6), so what went wrong is asked of the reader afterwards.
 */
async function update(
  auth: Module,
  agentDir: string | null,
  change: (store: LiveStore) => boolean,
): Promise<void> {
  const called: { outcome: { readonly writes: boolean } | { readonly thrown: unknown } | null } = {
    outcome: null,
  };
  const updater = (found: unknown): boolean => {
    try {
      const writes = change(parseLiveStore(found));
      called.outcome = { writes };
      return writes;
    } catch (error) {
      called.outcome = { thrown: error };
      return false;
    }
  };
  const save = auth.need('updateAuthProfileStoreWithLock');
  let result: unknown = null;
  let thrown: unknown = null;
  try {
    // Else each plugin that provides logins is asked first, and one it calls its own is left out (5.28 on; read, not run).
    const saveOptions = { filterExternalAuthProfiles: false };
    result = await save({ ...(agentDir !== null && { agentDir }), saveOptions, updater });
  } catch (error) {
    thrown = error;
  }
  const { outcome } = called;
  if (outcome !== null && 'thrown' in outcome) throw outcome.thrown;
  if (outcome === null) {
    look(auth, agentDir);
    throw thrown === null ? new Trouble('busy', '') : new Trouble('refused', kindOf(thrown));
  }
  if (outcome.writes && (result ?? null) === null) throw new Trouble('write', kindOf(thrown));
}

/**
 * OpenClaw's reader that writes nothing; for an agent's folder it lays the shared store below. Null in a release without it.
 * @throws Trouble `refused`
 */
function look(auth: Module, agentDir: string | null): LiveStore | null {
  const read = auth.find('ensureAuthProfileStoreForLocalUpdate');
  if (read === null) return null;
  try {
    return parseLiveStore(read(agentDir ?? undefined));
  } catch (error) {
    throw error instanceof Trouble ? error : new Trouble('refused', kindOf(error));
  }
}

const STORE_FILES = ['openclaw-agent.sqlite', 'auth-profiles.json'];

async function readStore(auth: Module, agentDir: string | null): Promise<JsonObject> {
  if (agentDir === null) {
    const shared = look(auth, null);
    if (shared !== null) return documentOf(shared);
  } else if (!STORE_FILES.some((name) => existsSync(join(agentDir, name)))) {
    // The update makes an empty store where there is none, and a look must not.
    const [merged, shared] = [look(auth, agentDir), look(auth, null)];
    if (merged !== null && shared !== null && isDeepStrictEqual(documentOf(merged), documentOf(shared))) {
      return { version: 1, profiles: {} };
    }
  }
  let found: JsonObject = {};
  await update(auth, agentDir, (store) => {
    found = documentOf(store);
    return false;
  });
  return found;
}

async function replace(auth: Module, request: SdkRequest & { op: 'replace' }): Promise<SdkAnswer> {
  const { agentDir, shape, expect, takeOut, now } = request;
  const put = request.put === null || request.put === 'keep' ? request.put : decodeHolding(request.put);
  let changed = false;
  await update(auth, agentDir, (store) => {
    const document = documentOf(store);
    const before = { profiles: document, state: null };
    changed = revisionOf(shape, before) !== expect;
    if (changed) return false;
    apply(store, document, changedDocuments(shape, before, { put, takeOut }, now).profiles);
    return true;
  });
  return changed ? { stage: 'changed' } : { stage: 'store', store: await readStore(auth, agentDir) };
}

/** Only what differs is assigned: a sealed neighbour stays the sealed one that OpenClaw knows. */
function apply(store: LiveStore, before: JsonObject, after: JsonObject): void {
  const was = isObject(before.profiles) ? before.profiles : {};
  const is = isObject(after.profiles) ? after.profiles : {};
  for (const id of Object.keys(was)) if (!Object.hasOwn(is, id)) delete store.profiles[id];
  for (const [id, entry] of Object.entries(is)) if (entry !== was[id]) store.profiles[id] = entry;
  for (const group of GROUPS) {
    const value = after[group];
    if (value === before[group]) continue;
    if (value === undefined) delete store[group];
    else store[group] = value;
  }
}

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

async function listSessions(root: string, sessions: Module, agent: string): Promise<SentSession[]> {
  const list = sessions.find('listSessionEntries');
  if (list !== null) {
    // The last two: 9.6 then opens the database to read only; 7.35 then leaves out what nobody asked for.
    const found: unknown = await list({ agentId: agent, readOnly: true, hydrateSkillPromptRefs: false });
    return Array.isArray(found) ? found.map(parseListed) : [];
  }
  const store: unknown = sessions.need('loadSessionStore')(await storePath(root, sessions, agent));
  return Object.entries(parseNamespace(store)).map(([key, entry]) => ({ key, entry: narrowed(entry) }));
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
  const found = parseNamespace(read());
  const session: unknown = 'session' in found ? found.session : null;
  const store =
    typeof session === 'object' && session !== null && 'store' in session ? session.store : undefined;
  return sessions.need('resolveStorePath')(store, { agentId: agent });
}

async function pinAll(
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

async function answer(root: string, request: SdkRequest): Promise<SdkAnswer> {
  try {
    switch (request.op) {
      case 'read':
        return {
          stage: 'store',
          store: await readStore(await load(root, 'provider-auth'), request.agentDir),
        };
      case 'replace':
        return await replace(await load(root, 'provider-auth'), request);
      case 'sessions':
        return {
          stage: 'sessions',
          entries: await listSessions(root, await load(root, 'session-store-runtime'), request.agent),
        };
      case 'pin':
        return {
          stage: 'pinned',
          outcomes: await pinAll(root, await load(root, 'session-store-runtime'), request),
        };
    }
  } catch (error) {
    return error instanceof Trouble
      ? error.answer
      : { stage: 'failed', trouble: 'refused', what: kindOf(error) };
  }
}

async function main(): Promise<void> {
  // Ctrl-C is for the one who asks: it decides whether what was begun is finished.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => undefined);
  const out = createWriteStream('', { fd: 3 });
  out.on('error', () => process.exit(1));
  let text = '';
  let opening: SdkOpening | null = null;
  for await (const chunk of process.stdin.setEncoding('utf8')) {
    text += chunk;
    for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n')) {
      const line = text.slice(0, end);
      text = text.slice(end + 1);
      if (opening === null) {
        opening = parseOpening(line);
        continue;
      }
      const last = setTimeout(() => process.kill(process.pid, 'SIGKILL'), opening.deadline + 1000);
      const answered = await answer(opening.packageRoot, parseRequest(line));
      clearTimeout(last);
      await new Promise<void>((written) => out.write(`${JSON.stringify(answered)}\n`, () => written()));
    }
  }
  // OpenClaw's own exit hooks give its leases back.
  process.exit(0);
}

function parseOpening(line: string): SdkOpening {
  return JSON.parse(line) as SdkOpening;
}

function parseRequest(line: string): SdkRequest {
  return JSON.parse(line) as SdkRequest;
}

void main();
