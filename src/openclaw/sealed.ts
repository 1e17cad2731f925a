import { createDecipheriv, createHash } from 'node:crypto';
import { join, relative } from 'node:path';
import { RouterError, systemErrorCode } from '../errors.js';
import { isObject, type Json, type JsonObject, parseJsonObject } from '../json.js';
import { ioError } from '../os/atomic.js';
import { readFile, realpath } from '../os/files.js';
import type { Env } from '../os/folders.js';
import { absolutePath } from './places.js';
import { readJsonFile } from './store-file.js';
import { filled } from './text.js';

export interface SealedPlace {
  readonly stateDir: string;
  readonly env: Env;
  /** The user's home folder, where `env` does not say. */
  readonly home: string;
  readonly platform: NodeJS.Platform;
  readonly profileId: string;
}

const KEY_VARIABLE = 'OPENCLAW_AUTH_PROFILE_SECRET_KEY';
const KEY_FILE = 'auth-profile-secret-key';
const TOKENS = ['access', 'refresh', 'idToken'] as const;

/** Whether an entry's tokens are, or may be, in a sealed side file. */
export function isSealed(entry: JsonObject): boolean {
  return (entry.oauthRef ?? null) !== null;
}

/**
 * An entry of 5.12 with its tokens taken out of `<state>/credentials/auth-profiles/<id>.json` (5.12 writes that file
 * whenever it loads or saves inline tokens; 5.18 to 5.28 still read it) and without `oauthRef`; one without `oauthRef` as it
 * is. Nothing is written, no keychain is asked. The tokens change without the entry where a refresh leaves `expires` as it
 * was: compare what is returned here, not the entry.
 * @throws SLOT_UNREADABLE with what is missing or wrong, never with a token; IO when the system refuses a read.
 */
export async function openSealed(entry: JsonObject, place: SealedPlace): Promise<JsonObject> {
  if (!isSealed(entry)) return entry;
  const id = refId(entry, place);
  const file = await readSideFile(place, id);
  const inline = TOKENS.some((name) => typeof entry[name] === 'string' && entry[name] !== '');
  const { oauthRef: _, ...rest } = entry;
  if (file === null) {
    if (inline) return rest;
    throw trouble(place, `its sealed side file ${id}.json is missing`, LOGIN);
  }
  const tokens = await tokensOf(file, entry, id, place);
  // 5.12 takes the side file's, later releases those beside it.
  if (inline && TOKENS.some((name) => (entry[name] ?? undefined) !== tokens[name])) {
    throw trouble(place, 'it holds other tokens beside those in its sealed side file', DOCTOR);
  }
  return { ...rest, ...tokens };
}

function refId(entry: JsonObject, place: SealedPlace): string {
  const ref = entry.oauthRef;
  const known = isObject(ref) && ref.source === 'openclaw-credentials' && ref.provider === 'openai-codex';
  if (known && typeof ref.id === 'string' && /^[a-f0-9]{32}$/.test(ref.id)) return ref.id;
  throw trouble(place, 'its oauthRef is of a format not known here', DOCTOR);
}

/** Null when there is none. Links above the file are followed; one in its own place must not lead out of the folder. */
async function readSideFile(place: SealedPlace, id: string): Promise<JsonObject | null> {
  const { env, stateDir, home } = place;
  const moved = filled(env.OPENCLAW_OAUTH_DIR);
  const credentials =
    moved === null ? join(stateDir, 'credentials') : absolutePath(moved, home, 'OPENCLAW_OAUTH_DIR');
  const path = join(credentials, 'auth-profiles', `${id}.json`);
  try {
    const folder = await realpath(join(credentials, 'auth-profiles'));
    if (relative(folder, await realpath(path)) !== `${id}.json`) {
      throw trouble(place, `${path} is a link to somewhere else`, DOCTOR);
    }
  } catch (error) {
    const code = systemErrorCode(error);
    // A link that leads nowhere is not an absent file: the read below says so.
    if (code !== 'ENOENT' && code !== 'ENOTDIR') {
      throw error instanceof RouterError ? error : ioError(error, path, 'read');
    }
  }
  return (await readJsonFile(path, 'SLOT_UNREADABLE'))?.value ?? null;
}

type Tokens = { readonly [name in (typeof TOKENS)[number]]?: string };

async function tokensOf(
  file: JsonObject,
  entry: JsonObject,
  id: string,
  place: SealedPlace,
): Promise<Tokens> {
  const { encrypted } = file;
  if (file.version !== 1)
    throw trouble(place, `its sealed side file is of format ${shown(file.version)}`, UPDATE);
  if (file.profileId !== place.profileId || file.provider !== entry.provider) {
    throw trouble(place, `its sealed side file ${id}.json belongs to another profile`, LOGIN);
  }
  // 5.12 seals a side file with bare tokens on its next load.
  const content =
    encrypted === undefined
      ? file
      : await unseal(encrypted, `${id}\0${file.profileId}\0${file.provider}`, place);
  const tokens: Tokens = Object.fromEntries(
    TOKENS.flatMap((name) => (isFilled(content[name]) ? [[name, content[name]]] : [])),
  );
  if (tokens.access === undefined || tokens.refresh === undefined) {
    throw trouble(place, 'its sealed side file holds no complete login', LOGIN);
  }
  return tokens;
}

async function unseal(encrypted: Json, aad: string, place: SealedPlace): Promise<JsonObject> {
  const { algorithm, iv, tag, ciphertext } = isObject(encrypted) ? encrypted : {};
  if (algorithm !== 'aes-256-gcm')
    throw trouble(place, 'its sealed side file is of an unknown cipher', UPDATE);
  if (!isFilled(iv) || !isFilled(tag) || !isFilled(ciphertext)) {
    throw trouble(place, 'its sealed side file is damaged', LOGIN);
  }
  const keys = await keysOf(place);
  for (const key of keys) {
    const text = decrypt(key.seed, { iv, tag, ciphertext, aad });
    const value = text === null ? null : parseJsonObject(text);
    if (value !== null) return value;
  }
  const keychain = place.platform === 'darwin' ? ' (a key in the macOS Keychain is not asked for here)' : '';
  if (keys.length === 0) throw trouble(place, `the key of its sealed side file is not there${keychain}`, KEY);
  const names = keys.map(({ source }) => source).join(' and ');
  throw trouble(
    place,
    `its sealed side file does not open with the key in ${names}: another key sealed it, or it was changed${keychain}`,
    KEY,
  );
}

function decrypt(
  seed: string,
  sealed: { readonly iv: string; readonly tag: string; readonly ciphertext: string; readonly aad: string },
): string | null {
  const key = createHash('sha256').update(`openclaw:auth-profile-oauth:${seed}`).digest();
  try {
    const iv = Buffer.from(sealed.iv, 'base64url');
    // Without the length a cut tag would do for a check.
    const opening = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: 16 });
    opening.setAAD(Buffer.from(sealed.aad, 'utf8'));
    opening.setAuthTag(Buffer.from(sealed.tag, 'base64url'));
    return Buffer.concat([
      opening.update(Buffer.from(sealed.ciphertext, 'base64url')),
      opening.final(),
    ]).toString('utf8');
  } catch {
    return null;
  }
}

interface Key {
  readonly seed: string;
  /** The variable or the file, for messages. */
  readonly source: string;
}

/**
 * Every key that is found, in OpenClaw's order. 5.12 uses the first one only, and takes a file inside the state directory
 * for none; here it does no harm to try them all, because a wrong one opens nothing.
 */
async function keysOf(place: SealedPlace): Promise<readonly Key[]> {
  const seed = filled(place.env[KEY_VARIABLE]);
  const keys = seed === null ? [] : [{ seed, source: KEY_VARIABLE }];
  for (const path of keyFiles(place)) {
    try {
      const text = filled(await readFile(path, 'utf8'));
      if (text !== null) keys.push({ seed: text, source: path });
    } catch (error) {
      const code = systemErrorCode(error);
      if (code !== 'ENOENT' && code !== 'ENOTDIR') throw ioError(error, path, 'read');
    }
  }
  return keys;
}

function keyFiles({ env, home: fallback, platform }: SealedPlace): readonly string[] {
  const home = filled(platform === 'win32' ? env.USERPROFILE : env.HOME) ?? fallback;
  const roots: { readonly [name: string]: string } = {
    win32: join(filled(env.APPDATA) ?? join(home, 'AppData', 'Roaming'), 'OpenClaw'),
    darwin: join(home, 'Library', 'Application Support', 'OpenClaw'),
  };
  const usual = join(home, '.config', 'openclaw');
  const root = roots[platform];
  // A gateway that runs as a service may not have the XDG_CONFIG_HOME of this shell, nor this shell the service's.
  const moved = filled(env.XDG_CONFIG_HOME);
  const linux = moved === null ? [usual] : [...new Set([join(moved, 'openclaw'), usual])];
  const folders = [...(root === undefined ? linux : [root]), join(home, '.openclaw-auth-profile-secrets')];
  return folders.map((folder) => join(folder, KEY_FILE));
}

function isFilled(value: Json | undefined): value is string {
  return typeof value === 'string' && value.trim() !== '';
}

function shown(version: Json | undefined): string {
  return typeof version === 'number' ? `${version}` : 'unknown';
}

const LOGIN = 'log in again with openclaw models auth login; nothing was changed';
const DOCTOR =
  'run openclaw doctor --fix of 2026.5.28, which puts such tokens back into the store; nothing was changed';
const UPDATE = 'update codex-router; nothing was changed';
const KEY = `give ${KEY_VARIABLE} as the gateway has it, or run openclaw doctor --fix of 2026.5.28 on that machine; nothing was changed`;

function trouble(place: SealedPlace, why: string, hint: string): RouterError {
  return new RouterError('SLOT_UNREADABLE', `cannot read the login of ${place.profileId}: ${why}`, { hint });
}
