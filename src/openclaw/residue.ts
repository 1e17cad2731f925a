import type { Dirent, Stats } from 'node:fs';
import { basename, join } from 'node:path';
import { identityOf, readClaims } from '../claims.js';
import { RouterError, systemErrorCode } from '../errors.js';
import type { Identity } from '../identity.js';
import { isObject, type JsonObject } from '../json.js';
import { lstat, readdir, readFile } from '../os/files.js';
import { Secret } from '../secret.js';
import type { FoundHost, FoundStore } from '../slot/host.js';
import type { Residue, ResidueFile, ResidueLogin } from '../slot/residue.js';
import { type FoundToken, hashOf, isDatabase, tokensIn, tokensInPages } from './found-tokens.js';
import { lookAt } from './sqlite-store.js';
import { readJsonFile } from './store-file.js';

/** Bounds of the look; what is beyond them is told. */
const BOUNDS = { bytes: 64 * 1024 * 1024, files: 20_000, depth: 8 };

/** Folders of programs and of what was said and made in chats: large, and never a copy of a store. */
const PASSED =
  /^(node_modules|plugins|extensions|plugin-runtime-deps|workspace.*|media|sandboxes|browser|logs|\.git|cache)$/;
/** Names under which a store, a copy of one or a database can lie; transcripts (`*.jsonl`) are not among them. */
const LOOKED_AT = /\.(json|json5|sqlite|sqlite3|db)$|\.(bak|old|orig|backup|save|tmp)\b|\.migrated-|-wal$/;

/** What the look needs of what was found. */
export type FoundPlace = Pick<FoundHost, 'stateDir' | 'stores' | 'profileId' | 'refusal'>;

/** How much of it is looked at. */
export interface ResidueLook {
  readonly files: 'all' | 'all-but-databases';
  /** ms in all; what is left then is told as not looked at. */
  readonly ms: number;
}

const ALL: ResidueLook = { files: 'all', ms: Number.POSITIVE_INFINITY };

/**
 * Lists the logins that OpenClaw's own archives, leftovers and unused database pages keep, by whose they are. Reads only, and the
 * tokens go no further than a comparison in memory. Symlinks are not followed.
 * @param found which store is read by this release and which is a leftover.
 */
export async function findResidue(found: FoundPlace, look: ResidueLook = ALL): Promise<Residue> {
  const until = performance.now() + look.ms;
  const held = await heldTokens(found);
  const walk: Walk = { files: [], passed: [] };
  await walkFolder(found.stateDir, 0, walk);
  // A store can lie elsewhere: OPENCLAW_AGENT_DIR, a configured agentDir.
  for (const { path } of found.stores) if (!walk.files.includes(path)) walk.files.push(path);
  const files: ResidueFile[] = [];
  for (const path of walk.files) {
    if (path.endsWith('-wal')) continue;
    if (look.files !== 'all' && /\.(sqlite|sqlite3|db)$/.test(path)) continue;
    if (performance.now() > until) {
      walk.passed.push({ path, reason: 'there was no time left to look at it and what comes after it' });
      break;
    }
    try {
      const file = await residueOf(path, found, held, walk);
      if (file !== null) files.push(file);
    } catch (error) {
      const code = systemErrorCode(error);
      if (code === null && !(error instanceof RouterError)) throw error;
      if (code !== 'ENOENT')
        walk.passed.push({ path, reason: `it cannot be read (${code ?? 'no plain file'})` });
    }
  }
  return { files, notLookedAt: walk.passed };
}

interface Walk {
  readonly files: string[];
  readonly passed: { readonly path: string; readonly reason: string }[];
}

async function walkFolder(folder: string, depth: number, walk: Walk): Promise<void> {
  let entries: readonly Dirent[];
  try {
    entries = await readdir(folder, { withFileTypes: true });
  } catch (error) {
    walk.passed.push({ path: folder, reason: `it cannot be read (${systemErrorCode(error) ?? 'unknown'})` });
    return;
  }
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      if (PASSED.test(entry.name)) continue;
      if (depth < BOUNDS.depth) await walkFolder(path, depth + 1, walk);
      else walk.passed.push({ path, reason: `it lies deeper than ${BOUNDS.depth} folders` });
    } else if (entry.isFile() && LOOKED_AT.test(entry.name) && !entry.name.endsWith('.jsonl')) {
      if (walk.files.length < BOUNDS.files) walk.files.push(path);
      else {
        walk.passed.push({ path: folder, reason: `there are more than ${BOUNDS.files} files` });
        return;
      }
    }
  }
}

/** Null when it holds no login beside those it is there for. */
async function residueOf(
  path: string,
  found: FoundPlace,
  held: Held,
  walk: Walk,
): Promise<ResidueFile | null> {
  const stat = await lstat(path);
  if (!stat.isFile()) return null;
  if (stat.size > BOUNDS.bytes) {
    walk.passed.push({ path, reason: `it is larger than ${BOUNDS.bytes / 1024 / 1024} MB` });
    return null;
  }
  const stores = found.stores.filter((store) => store.path === path);
  const bytes = await readFile(path);
  if (isDatabase(bytes)) {
    const log = await readLog(`${path}-wal`);
    const own = rowTokens(path);
    const tokens = tokensInPages(bytes, log).filter(({ refreshHash }) => !own.has(refreshHash));
    return fileOf(path, 'database', stat, loginsOf(tokens, held));
  }
  // What the release reads is where a login belongs; and before an upgrade is done, so is what its doctor will read.
  if (stores.some(({ state }) => state === 'used' || state === 'unknown') || isWaiting(stores, found))
    return null;
  const text = bytes.toString('latin1');
  const logins = loginsOf(tokensIn(text), held);
  if (logins.length > 0) return fileOf(path, kindOf(path, stores), stat, logins);
  return sealedOf(path, text, stat, held);
}

function isWaiting(stores: readonly FoundStore[], { refusal }: FoundPlace): boolean {
  return stores.length > 0 && refusal !== null;
}

function fileOf(
  path: string,
  kind: ResidueFile['kind'],
  { mode }: Stats,
  logins: readonly ResidueLogin[],
): ResidueFile | null {
  return logins.length === 0 ? null : { path, kind, readableByOthers: (mode & 0o044) !== 0, logins };
}

/** A store under its own name is a leftover; under any other it is a copy. */
function kindOf(path: string, stores: readonly FoundStore[]): 'leftover' | 'archive' {
  const own = ['auth-profiles.json', 'auth.json', 'oauth.json'].includes(basename(path));
  return own || stores.length > 0 ? 'leftover' : 'archive';
}

const SEALED: ResidueLogin = { accountId: null, userId: null, email: null, live: 'other', expiresAt: null };

/** A side file of 5.12 that no entry speaks of any more. */
function sealedOf(path: string, text: string, stat: Stats, { sealed }: Held): ResidueFile | null {
  if (!/[/\\]auth-profiles[/\\][0-9a-f]{32}\.json$/.test(path) || !text.includes('"ciphertext"')) return null;
  if (sealed.has(basename(path, '.json'))) return null;
  return fileOf(path, 'sealed', stat, [SEALED]);
}

async function readLog(path: string): Promise<Buffer | null> {
  try {
    const { size } = await lstat(path);
    return size > BOUNDS.bytes ? null : await readFile(path);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw error;
  }
}

/** Each login once, with what the copy that tells most says. */
function loginsOf(tokens: readonly FoundToken[], held: Held): readonly ResidueLogin[] {
  const logins = new Map<string, ResidueLogin>();
  for (const token of tokens) {
    const known = logins.get(token.refreshHash);
    if (known === undefined || known.userId === null) {
      const login = loginOf(token, held);
      if (known === undefined || login.userId !== null) logins.set(token.refreshHash, login);
    }
  }
  return [...logins.values()];
}

function loginOf(found: FoundToken, { tokens }: Held): ResidueLogin {
  const stored = tokens.get(found.refreshHash);
  const live = stored?.live ?? 'other';
  // In a page that is in use again in part, the token is cut; the very same login in a store tells as well.
  const access = [found.access, stored?.access].find((token) => token && ownerOf(new Secret(token)) !== null);
  const secret = access ? new Secret(access) : null;
  const owner = secret && ownerOf(secret);
  return {
    accountId: owner?.accountId ?? found.accountId,
    userId: owner?.userId ?? null,
    email: owner?.email ?? found.email,
    live,
    expiresAt: secret && expiryOf(secret),
  };
}

function ownerOf(access: Secret): Identity | null {
  return unlessBroken(() => identityOf(access));
}

function expiryOf(access: Secret): number | null {
  return unlessBroken(() => readClaims(access)?.expiresAt ?? null);
}

/** Null for what cannot be understood: it holds nothing that anybody could use. */
function unlessBroken<T>(look: () => T): T | null {
  try {
    return look();
  } catch (error) {
    if (error instanceof RouterError) return null;
    throw error;
  }
}

/** What the stores that are read hold now. */
interface Held {
  readonly tokens: Map<
    string,
    { readonly live: 'same-as-slot' | 'same-as-profile'; readonly access: string | null }
  >;
  /** Ids of the side files that entries speak of. */
  readonly sealed: Set<string>;
}

async function heldTokens({ stores, profileId }: FoundPlace): Promise<Held> {
  const held: Held = { tokens: new Map(), sealed: new Set() };
  for (const { path, format, holds, state } of stores) {
    if (holds !== 'logins' || state !== 'used') continue;
    const documents = format === 'json' ? [await jsonAt(path)] : documentsAt(path);
    for (const document of documents) {
      for (const [id, entry] of entriesOf(document)) note(held, entry, id === profileId);
    }
  }
  return held;
}

function note({ tokens, sealed }: Held, entry: JsonObject, inSlot: boolean): void {
  const { refresh, access, oauthRef } = entry;
  if (isObject(oauthRef) && typeof oauthRef.id === 'string') sealed.add(oauthRef.id);
  if (typeof refresh !== 'string' || refresh === '') return;
  const hash = hashOf(refresh);
  if (!inSlot && tokens.has(hash)) return;
  const live = inSlot ? 'same-as-slot' : 'same-as-profile';
  tokens.set(hash, { live, access: typeof access === 'string' ? access : null });
}

async function jsonAt(path: string): Promise<JsonObject | null> {
  try {
    return (await readJsonFile(path, 'SLOT_UNREADABLE'))?.value ?? null;
  } catch (error) {
    if (error instanceof RouterError) return null;
    throw error;
  }
}

/** The profiles in the rows of a database. */
function documentsAt(path: string): readonly (JsonObject | null)[] {
  return (['shared', 'agent'] as const).map((rows) =>
    unlessBroken(() => lookAt(path, rows).rows.profiles?.value ?? null),
  );
}

function entriesOf(document: JsonObject | null): readonly (readonly [string, JsonObject])[] {
  const profiles = isObject(document?.profiles) ? Object.entries(document.profiles) : [];
  return profiles.flatMap(([id, entry]) => (isObject(entry) ? [[id, entry] as const] : []));
}

/** Tokens that are in a database because that is where its logins are. */
function rowTokens(path: string): ReadonlySet<string> {
  const held: Held = { tokens: new Map(), sealed: new Set() };
  for (const document of documentsAt(path)) {
    for (const [, entry] of entriesOf(document)) note(held, entry, false);
  }
  return new Set(held.tokens.keys());
}
