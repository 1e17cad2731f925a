import { isDeepStrictEqual } from 'node:util';
import type JSON5 from 'json5';
import { isObject, type Json, type JsonObject } from '../json.js';

/** Where in a JSON5 text a member stands. Offsets of the text; `comma` is that of the one behind it, null without one. */
interface Member {
  readonly key: string;
  readonly start: number;
  readonly value: number;
  readonly end: number;
  readonly comma: number | null;
}

/** The part of the package `json5` that is needed: loaded by who calls. */
export type Json5 = Pick<typeof JSON5, 'parse'>;

/**
 * A JSON5 text without the member at `path`, every other byte as it was, but for the comma and the line that were the member's own.
 * Null when it has no such member. Proved: what is left reads as before without that member.
 * @throws SyntaxError for a text that is no JSON5, or one in which the member cannot be taken out so (a key given twice, say).
 */
export function withoutMember(text: string, path: readonly string[], json5: Json5): string | null {
  const before = json5.parse<Json>(text);
  if (valueAt(before, path) === undefined) return null;
  const chain = chainOf(text, path, json5);
  const last = chain?.at(-1);
  if (chain === null || last === undefined) throw new SyntaxError('the member cannot be found in the text');
  const after = cut(text, last.member, last.previous);
  if (isDeepStrictEqual(json5.parse(after), without(before, path))) return after;
  throw new SyntaxError('the text reads otherwise without the member');
}

/** The values of `$include` along the path, from the outside in, each with what is left of the path there. */
export function includesAlong(
  value: Json,
  path: readonly string[],
): readonly { readonly include: Json; readonly rest: readonly string[] }[] {
  if (!isObject(value)) return [];
  const own = value.$include === undefined ? [] : [{ include: value.$include, rest: path }];
  const [name, ...rest] = path;
  if (name === undefined || rest.length === 0) return own;
  return [...own, ...includesAlong(value[name] ?? null, rest)];
}

function valueAt(value: Json | undefined, path: readonly string[]): Json | undefined {
  const [name, ...rest] = path;
  if (name === undefined) return value;
  return isObject(value) && Object.hasOwn(value, name) ? valueAt(value[name], rest) : undefined;
}

function without(value: Json, [name = '', ...rest]: readonly string[]): Json {
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, found]): [string, Json][] => {
      if (key !== name) return [[key, found]];
      return rest.length === 0 ? [] : [[key, without(found, rest)]];
    }),
  );
}

interface Link {
  readonly member: Member;
  readonly previous: Member | null;
}

/** The members on the way to the one at `path`, that one last; of a key given twice the later, which is the one that counts. */
function chainOf(text: string, path: readonly string[], json5: Json5): readonly Link[] | null {
  const chain: Link[] = [];
  let at = skipBlank(text, 0);
  for (const name of path) {
    const members = membersAt(text, at, json5);
    const index = members.findLastIndex(({ key }) => key === name);
    const member = members[index];
    if (member === undefined) return null;
    chain.push({ member, previous: members[index - 1] ?? null });
    at = member.value;
  }
  return chain;
}

function membersAt(text: string, open: number, json5: Json5): readonly Member[] {
  const members: Member[] = [];
  if (text[open] !== '{') return members;
  let at = skipBlank(text, open + 1);
  while (at < text.length && text[at] !== '}') {
    const start = at;
    const keyEnd = isQuote(text[at]) ? skipText(text, at) : skipBare(text, at, /[\s:/\ufeff]/);
    const value = skipBlank(text, skipBlank(text, keyEnd) + 1);
    const end = skipValue(text, value);
    const next = skipBlank(text, end);
    const comma = text[next] === ',' ? next : null;
    members.push({ key: keyOf(text.slice(start, keyEnd), json5), start, value, end, comma });
    at = comma === null ? next : skipBlank(text, comma + 1);
    // A text that JSON5 has read cannot stop here.
    if (comma === null && text[at] !== '}') throw new SyntaxError('the text is not understood');
  }
  return members;
}

function keyOf(written: string, json5: Json5): string {
  return Object.keys(json5.parse<JsonObject>(`{${written}:0}`))[0] ?? '';
}

function skipValue(text: string, start: number): number {
  const first = text[start];
  if (isQuote(first)) return skipText(text, start);
  if (first !== '{' && first !== '[') return skipBare(text, start, /[\s,}\]/\ufeff]/);
  let depth = 0;
  let at = start;
  while (at < text.length) {
    const character = text[at];
    if (character === '{' || character === '[') depth += 1;
    else if (character === '}' || character === ']') depth -= 1;
    if (depth === 0) return at + 1;
    at = isQuote(character) ? skipText(text, at) : skipBlank(text, isComment(text, at) ? at : at + 1);
  }
  throw new SyntaxError('the text ends too early');
}

function isQuote(character: string | undefined): boolean {
  return character === '"' || character === "'";
}

function skipText(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at += 1) {
    if (text[at] === '\\') at += 1;
    else if (text[at] === text[start]) return at + 1;
  }
  throw new SyntaxError('the text ends too early');
}

function skipBare(text: string, start: number, ends: RegExp): number {
  let at = start;
  while (at < text.length && !ends.test(text[at] ?? '')) at += 1;
  if (at === start) throw new SyntaxError('the text is not understood');
  return at;
}

function isComment(text: string, at: number): boolean {
  return text[at] === '/' && (text[at + 1] === '/' || text[at + 1] === '*');
}

/** Past blanks and comments. */
function skipBlank(text: string, start: number): number {
  let at = start;
  for (;;) {
    while (/[\s\ufeff]/.test(text[at] ?? '')) at += 1;
    if (!isComment(text, at)) return at;
    const rest = text.slice(at + 2);
    const end = text[at + 1] === '*' ? rest.indexOf('*/') : rest.search(/[\n\r\u2028\u2029]/);
    if (end === -1) return text.length;
    at += 2 + end + (text[at + 1] === '*' ? 2 : 0);
  }
}

/** Comments on either side stay. */
function cut(text: string, { start, end, comma }: Member, previous: Member | null): string {
  // The last member without a comma leaves the one before it behind, which plain JSON does not allow.
  const dangling = comma === null ? (previous?.comma ?? null) : null;
  const head =
    dangling === null ? text.slice(0, start) : text.slice(0, dangling) + text.slice(dangling + 1, start);
  const tail = comma === null ? text.slice(end) : text.slice(end, comma) + text.slice(comma + 1);
  const line = /^[ \t]*(\r\n|[\n\r])/.exec(tail);
  const indent = /(^|[\n\r])[ \t]*$/.exec(head);
  if (line !== null && indent !== null) {
    return head.slice(0, indent.index) + (indent[1] ?? '') + tail.slice(line[0].length);
  }
  // On a line with others: the blank that parted it from its neighbour was its own.
  if (comma !== null) return head + tail.replace(/^[ \t]+/, '');
  return dangling === null ? head + tail : head.replace(/[ \t]+$/, '') + tail;
}
