import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { isObject, type Json, type JsonObject } from '../json.js';
import { decodeHolding, type SdkAnswer, type SdkRequest } from './sdk-message.js';
import { kindOf, type Module, parseDocument, Trouble } from './sdk-module.js';
import { changedDocuments, isTaken, revisionOf } from './store-document.js';

/** OpenClaw's store as it holds it in memory: changed in place, with whatever else it keeps in there. */
type LiveStore = { profiles: { [id: string]: Json } } & { [group: string]: Json };

function parseLiveStore(found: unknown): LiveStore {
  if (
    typeof found === 'object' &&
    found !== null &&
    'profiles' in found &&
    typeof found.profiles === 'object' &&
    found.profiles !== null
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

/**
 * What the store of a folder holds, never merged with another; null: the one all agents share. Makes no store.
 * @throws Trouble
 */
export async function readStore(auth: Module, agentDir: string | null): Promise<JsonObject> {
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

/** Compares and writes under one lock of OpenClaw. @throws Trouble */
export async function replace(auth: Module, request: SdkRequest & { op: 'replace' }): Promise<SdkAnswer> {
  const { agentDir, shape, expect, takeOut, choose, wake, now } = request;
  const beside = request.beside?.map(({ profileId, holding }) => ({
    profileId,
    holding: decodeHolding(holding),
  }));
  const arriving = beside === undefined ? {} : { beside };
  const put = request.put === null || request.put === 'keep' ? request.put : decodeHolding(request.put);
  const optional = { ...(choose !== undefined && { choose }), ...(wake !== undefined && { wake }) };
  const change = { put, takeOut, ...arriving, ...optional };
  let changed = false;
  await update(auth, agentDir, (store) => {
    const document = documentOf(store);
    const before = { profiles: document, state: null };
    changed = revisionOf(shape, before) !== expect || isTaken(before, arriving);
    if (changed) return false;
    apply(store, document, changedDocuments(shape, before, change, now).profiles);
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
