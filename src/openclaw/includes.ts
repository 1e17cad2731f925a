import { dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { RouterError, systemErrorCode } from '../errors.js';
import { isObject, type Json, type JsonObject, parseJson } from '../json.js';
import { ioError } from '../os/atomic.js';
import { readFile, realpath } from '../os/files.js';

/** OpenClaw's own bound on nested `$include`. */
const DEPTH = 10;

/**
 * Reads OpenClaw's configuration, JSON5 with `$include` (5.7: `resolveConfigIncludes`): included objects are merged in
 * order, lists are joined, the including file's own keys win, and nothing outside the configuration's folder is read.
 * Null when the file does not exist.
 * @throws HOST_UNREADABLE naming the file.
 */
export async function readConfigFile(path: string): Promise<JsonObject | null> {
  const value = await parseFile(path);
  if (value === undefined) return null;
  const resolved = await include(value, { file: path, root: dirname(path), chain: [path] });
  if (isObject(resolved)) return resolved;
  throw unreadable(path, 'it is not an object');
}

interface Place {
  readonly file: string;
  readonly root: string;
  readonly chain: readonly string[];
}

async function include(value: Json, place: Place): Promise<Json> {
  if (isList(value)) return await Promise.all(value.map((item) => include(item, place)));
  if (!isObject(value)) return value;
  const own: { [key: string]: Json } = {};
  for (const [key, item] of Object.entries(value)) {
    if (key !== '$include') own[key] = await include(item, place);
  }
  const named = value.$include;
  if (named === undefined) return own;
  let merged: Json = {};
  for (const name of isList(named) ? named : [named]) {
    if (typeof name !== 'string') throw unreadable(place.file, 'its $include is not a file name');
    merged = merge(merged, await includedFile(name, place));
  }
  return merge(merged, own);
}

async function includedFile(name: string, place: Place): Promise<Json> {
  const file = isAbsolute(name) ? resolve(name) : join(dirname(place.file), name);
  if (place.chain.includes(file)) throw unreadable(place.file, 'its $include goes round in a circle');
  if (place.chain.length > DEPTH) throw unreadable(place.file, 'its $include is nested too deeply');
  await refuseOutside(file, place);
  const value = await parseFile(file);
  if (value === undefined) throw unreadable(file, 'it is included and does not exist');
  return await include(value, { ...place, file, chain: [...place.chain, file] });
}

async function refuseOutside(file: string, place: Place): Promise<void> {
  const [root, real] = await Promise.all([place.root, file].map((path) => realpath(path).catch(() => path)));
  const way = relative(root ?? place.root, real ?? file);
  if (way.startsWith('..') || isAbsolute(way)) {
    throw unreadable(place.file, 'its $include leaves the configuration folder');
  }
}

function merge(under: Json, over: Json): Json {
  if (isList(under) && isList(over)) return [...under, ...over];
  if (!isObject(under) || !isObject(over)) return over;
  const merged: { [key: string]: Json } = { ...under };
  for (const [key, value] of Object.entries(over)) {
    if (key === '__proto__' || key === 'constructor' || key === 'prototype') continue;
    const below = Object.hasOwn(merged, key) ? merged[key] : undefined;
    merged[key] = below === undefined ? value : merge(below, value);
  }
  return merged;
}

/** Undefined when there is no such file. Plain JSON, what OpenClaw itself writes, needs no JSON5 parser loaded. */
async function parseFile(path: string): Promise<Json | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw ioError(error, path, 'read');
  }
  try {
    return parseJson(text);
  } catch {
    const { default: JSON5 } = await import('json5');
    try {
      return JSON5.parse<Json>(text);
    } catch {
      throw unreadable(path, 'it is not JSON5');
    }
  }
}

function unreadable(path: string, why: string): RouterError {
  return new RouterError('HOST_UNREADABLE', `cannot understand OpenClaw's configuration ${path}: ${why}`, {
    hint: 'openclaw config validate says what is wrong',
  });
}

function isList(value: Json): value is readonly Json[] {
  return Array.isArray(value);
}
