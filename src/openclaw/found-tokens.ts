import { createHash } from 'node:crypto';

/** A login found in text: its refresh token by hash only, and what stands beside it in the same JSON object. */
export interface FoundToken {
  readonly refreshHash: string;
  /** Null where there is none, or not all of it. Never shown. */
  readonly access: string | null;
  readonly accountId: string | null;
  readonly email: string | null;
}

const TOKEN = '[A-Za-z0-9._~+/=-]{20,8192}';

const MEMBERS = {
  refresh: member('refresh|refresh_token|refreshToken', TOKEN),
  access: member('access|access_token|accessToken', TOKEN),
  accountId: member('accountId|account_id', '[A-Za-z0-9._:-]{1,200}'),
  email: member('email', '[^"\\\\\\s]{3,254}'),
};

/** A JSON member, also inside of a JSON string that quotes it; the closing quote must be there, or the value is cut. */
function member(names: string, value: string): RegExp {
  return new RegExp(`\\\\*"(?:${names})\\\\*"\\s*:\\s*\\\\*"(${value})\\\\*"`, 'g');
}

/** How many characters two members of one login may have between them. */
const NEAR = 12_000;

/** Every refresh token in the text, by hash. */
export function tokensIn(text: string): readonly FoundToken[] {
  if (!text.includes('refresh')) return [];
  const refresh = placesOf(text, MEMBERS.refresh);
  if (refresh.length === 0) return [];
  const access = placesOf(text, MEMBERS.access);
  const accountIds = placesOf(text, MEMBERS.accountId);
  const emails = placesOf(text, MEMBERS.email);
  return refresh.map((place) => ({
    refreshHash: hashOf(place.value),
    access: besideOf(text, place, access),
    accountId: besideOf(text, place, accountIds),
    email: besideOf(text, place, emails),
  }));
}

interface Place {
  readonly value: string;
  readonly start: number;
  readonly end: number;
}

function placesOf(text: string, pattern: RegExp): readonly Place[] {
  return [...text.matchAll(pattern)].map(({ index, 0: whole, 1: value = '' }) => ({
    value,
    start: index,
    end: index + whole.length,
  }));
}

/** The one in the same object: with no brace between. A wrong name would be worse than none. */
function besideOf(text: string, { start, end }: Place, places: readonly Place[]): string | null {
  const beside = places.find((found) => {
    const between = found.end <= start ? text.slice(found.end, start) : text.slice(end, found.start);
    return between.length < NEAR && !/[{}]/.test(between);
  });
  return beside?.value ?? null;
}

export function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('base64');
}

const HEADER = 'SQLite format 3\0';

export function isDatabase(bytes: Buffer): boolean {
  return bytes.subarray(0, HEADER.length).toString('latin1') === HEADER;
}

/**
 * Every refresh token in the pages of a database, in use or not, and in the frames of its log (sqlite.org/fileformat2.html). A
 * long row goes on in other pages, each of which begins with the number of the next.
 * @param log the bytes of `<path>-wal`; null when there is none.
 */
export function tokensInPages(bytes: Buffer, log: Buffer | null): readonly FoundToken[] {
  const size = pageSizeOf(bytes);
  const pages: Buffer[] = [];
  for (let at = 0; at + size <= bytes.length; at += size) pages.push(bytes.subarray(at, at + size));
  const frames = log === null ? [] : framesOf(log, size);
  const found: FoundToken[] = [];
  const search = (page: Buffer, pageAt: (number: number) => Buffer | undefined) => {
    for (const text of textsOf(page, pageAt)) found.push(...tokensIn(text));
  };
  for (const page of pages) search(page, (number) => pages[number - 1]);
  frames.forEach(({ page }, index) => {
    search(
      page,
      (number) =>
        (
          frames.find((frame, at) => at > index && frame.number === number) ??
          frames.findLast((frame) => frame.number === number)
        )?.page ?? pages[number - 1],
    );
  });
  return found;
}

function pageSizeOf(bytes: Buffer): number {
  const size = bytes.readUInt16BE(16);
  return size === 1 ? 65_536 : Math.max(size, 512);
}

function framesOf(log: Buffer, size: number): readonly { readonly number: number; readonly page: Buffer }[] {
  const frames = [];
  for (let at = 32; at + 24 + size <= log.length; at += 24 + size) {
    frames.push({ number: log.readUInt32BE(at), page: log.subarray(at + 24, at + 24 + size) });
  }
  return frames;
}

/** How many further pages a text is followed into: a login is 3 to 8 KB. */
const FURTHER = 4;

/** The text of one page; and, where it goes on in others, that text whole. */
function textsOf(page: Buffer, pageAt: (number: number) => Buffer | undefined): readonly string[] {
  const follow = (number: number): string => {
    let text = '';
    let next = number;
    for (let count = 0; count < FURTHER && next > 0; count += 1) {
      const further = pageAt(next);
      if (further === undefined) break;
      text += further.subarray(4).toString('latin1');
      next = further.readUInt32BE(0);
    }
    return text;
  };
  const own = page.toString('latin1');
  // In use or freed: a page of the middle of a row begins with the number of the next one.
  const texts = [own, own.slice(4) + follow(page.readUInt32BE(0))];
  // The first part of a long row ends with that number, whose first byte is 0 in any database below 64 GB.
  for (const { index, 0: run } of own.matchAll(/[\x20-\x7e]{24,}\0/g)) {
    const end = index + run.length - 1;
    if (end + 4 <= page.length) texts.push(run.slice(0, -1) + follow(page.readUInt32BE(end)));
  }
  return texts;
}
