import { lstatSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import path from 'node:path';
import { constants, gunzipSync } from 'node:zlib';
import { CANARY } from './tokens.js';

export interface Finding {
  /** The file, or the name of the given string. */
  readonly where: string;
  /** How it was written, outermost first: `plain`, `base64`, `gzip > hex`, `file name`, ... */
  readonly coding: string;
}

export interface Allowed {
  readonly file: string;
  /** The text with the allowed part taken out, which is then searched; left out, the whole file is allowed. */
  readonly strip?: (text: string) => string;
}

export interface SearchOptions {
  readonly allow?: readonly Allowed[];
  /** More texts to search, by a name for the finding: stdout, stderr, a log kept in memory. */
  readonly strings?: Readonly<Record<string, string>>;
}

/**
 * Searches every file below `roots` (names and symlink targets too; links are not followed) and the given strings for
 * CANARY: plain, base64 and base64url at each alignment, hex, percent, \u-escapes, UTF-16, any two of these nested, and
 * all of it inside gzip. One finding per place and coding.
 * @throws when a root does not exist or a file cannot be read: what was not searched is not clean.
 */
export function findCanary(roots: readonly string[], options: SearchOptions = {}): readonly Finding[] {
  const allowed = new Map((options.allow ?? []).map(({ file, strip }) => [path.resolve(file), strip]));
  const found: Finding[] = [];
  const look = (where: string, content: Buffer) => {
    for (const coding of codingsIn(content)) found.push({ where, coding });
  };
  for (const file of roots.flatMap((root) => [...filesBelow(path.resolve(root))])) {
    if (codingsIn(Buffer.from(path.basename(file))).length > 0)
      found.push({ where: file, coding: 'file name' });
    const kind = lstatSync(file);
    if (kind.isSymbolicLink()) look(file, Buffer.from(readlinkSync(file)));
    if (!kind.isFile()) continue;
    const content = readFileSync(file);
    if (!allowed.has(file)) look(file, content);
    const strip = allowed.get(file);
    if (strip) look(file, Buffer.from(strip(content.toString('utf8'))));
  }
  for (const [name, text] of Object.entries(options.strings ?? {})) look(name, Buffer.from(text));
  return found;
}

/** For `Allowed.strip`: auth-profiles.json without the entries of these profile ids. */
export function withoutProfiles(...ids: readonly string[]): (text: string) => string {
  return (text) => {
    const store = JSON.parse(text);
    for (const id of ids) delete store.profiles?.[id];
    return JSON.stringify(store);
  };
}

function* filesBelow(root: string): Generator<string> {
  if (!statSync(root).isDirectory()) {
    yield root;
    return;
  }
  for (const entry of readdirSync(root, { withFileTypes: true, recursive: true })) {
    yield path.join(entry.parentPath, entry.name);
  }
}

function codingsIn(content: Buffer, depth = 0): string[] {
  const found = new Set<string>();
  const unwrapped = content.includes('\n')
    ? Buffer.from(content.toString('latin1').replace(/\s+/g, ''), 'latin1')
    : null;
  for (const { text, coding } of NEEDLES) {
    if (content.includes(text) || unwrapped?.includes(text)) found.add(coding);
  }
  if (depth < 3) {
    for (const member of gzipMembers(content)) {
      for (const coding of codingsIn(member, depth + 1)) found.add(`gzip > ${coding}`);
    }
  }
  return [...found];
}

function gzipMembers(content: Buffer): Buffer[] {
  const starts: Buffer[] = [];
  const magic = Buffer.from([0x1f, 0x8b, 0x08]);
  for (let at = content.indexOf(magic); at >= 0; at = content.indexOf(magic, at + 1))
    starts.push(content.subarray(at));
  for (const [text] of content.toString('latin1').matchAll(/H4sI[A-Za-z0-9+/_-]{12,}/g)) {
    starts.push(Buffer.from(text, 'base64'));
  }
  return starts.flatMap((start) => {
    try {
      return [gunzipSync(start, { finishFlush: constants.Z_SYNC_FLUSH })];
    } catch {
      return [];
    }
  });
}

type Needle = { readonly text: Buffer; readonly coding: string };

const NEEDLES: readonly Needle[] = (() => {
  const plain = { text: Buffer.from(CANARY), coding: 'plain' };
  const once = encodings(plain.text);
  const twice = once.flatMap((outer) =>
    encodings(outer.text).map(({ text, coding }) => ({ text, coding: `${coding} > ${outer.coding}` })),
  );
  return [plain, ...once, ...twice];
})();

function encodings(text: Buffer): Needle[] {
  const each = (code: (byte: number) => string) => Buffer.from([...text].map(code).join(''));
  const hex = (byte: number) => byte.toString(16).padStart(2, '0');
  return [
    ...[0, 1, 2].map((shift) => ({ text: base64At(text, shift), coding: 'base64' })),
    { text: each(hex), coding: 'hex' },
    { text: each((byte) => hex(byte).toUpperCase()), coding: 'hex' },
    { text: each((byte) => `%${hex(byte)}`), coding: 'percent' },
    { text: each((byte) => `%${hex(byte).toUpperCase()}`), coding: 'percent' },
    { text: each((byte) => `\\u00${hex(byte)}`), coding: 'escaped' },
    { text: each((byte) => `\\u00${hex(byte).toUpperCase()}`), coding: 'escaped' },
    { text: Buffer.from(text.toString('latin1'), 'utf16le'), coding: 'utf-16' },
  ];
}

/** The base64 characters that `text` alone decides when `shift` unknown bytes stand before it. */
function base64At(text: Buffer, shift: number): Buffer {
  const code = Buffer.concat([Buffer.alloc(shift), text, Buffer.alloc(3)]).toString('base64');
  return Buffer.from(code.slice(Math.ceil((shift * 8) / 6), Math.floor(((shift + text.length) * 8) / 6)));
}
