import { createHmac, randomBytes } from 'node:crypto';

export interface AskedRequest {
  readonly sender: string | null;
  readonly chat: string | null;
  readonly text: string;
}

export type Admission =
  /** To be run; `done` is to be called when it has ended, whatever came of it. False: it failed and may be asked again at once. */
  | { readonly kind: 'first'; readonly done: (ok?: boolean) => void }
  /** Not to be run; `text` says so to whoever asked. */
  | { readonly kind: 'again'; readonly text: string };

export interface RecentRequests {
  /** `now` in ms. */
  admit(asked: AskedRequest, now: number): Admission;
  /** By the hash of the three; never more than the limit. */
  readonly remembered: ReadonlyMap<string, Remembered>;
}

interface Remembered {
  /** Hash of sender and chat. */
  readonly place: string;
  readonly at: number;
  running: boolean;
}

/** What is not ended by then never will be: the longest time a request may take is ten minutes. */
const LONGEST_MS = 11 * 60_000;

/**
 * The same request of one sender in one chat runs once: while it runs, and for `windowMs` after it began. A different one of
 * theirs in between makes an ended one worth asking again (use work, undo, use work). Whose sender or chat is not known is
 * never held to be the same. Nothing of a text is kept but a hash under a key of this process: it can be the answer of a login.
 */
export function recentRequests({ windowMs = 20_000, limit = 500 } = {}): RecentRequests {
  const key = randomBytes(32);
  const digest = (...parts: readonly string[]) =>
    createHmac('sha256', key).update(JSON.stringify(parts)).digest('base64');
  const remembered = new Map<string, Remembered>();

  const forgetOld = (now: number) => {
    for (const [name, { at, running }] of remembered) {
      const age = now - at;
      // A clock that was set back must not lock anybody out.
      if (age < 0 || age >= (running ? LONGEST_MS : windowMs)) remembered.delete(name);
    }
  };
  const makeRoom = () => {
    if (remembered.size < limit) return;
    const ended = [...remembered].find(([, { running }]) => !running);
    const [oldest] = ended ?? [...remembered][0] ?? [];
    if (oldest !== undefined) remembered.delete(oldest);
  };

  return {
    admit({ sender, chat, text }, now) {
      if (sender === null || chat === null) return { kind: 'first', done: () => undefined };
      forgetOld(now);
      const place = digest(sender, chat);
      const name = digest(sender, chat, text.trim().replace(/\s+/g, ' '));
      const same = remembered.get(name);
      if (same !== undefined) return { kind: 'again', text: sayAgain(same, now, windowMs) };
      for (const [other, { place: itsPlace, running }] of remembered) {
        if (itsPlace === place && !running) remembered.delete(other);
      }
      makeRoom();
      const mine: Remembered = { place, at: now, running: true };
      remembered.set(name, mine);
      return {
        kind: 'first',
        done: (ok = true) => {
          mine.running = false;
          if (!ok && remembered.get(name) === mine) remembered.delete(name);
        },
      };
    },
    remembered,
  };
}

function sayAgain({ running, at }: Remembered, now: number, windowMs: number): string {
  if (running) return 'That is being worked on already; the answer comes once.';
  const wait = Math.max(1, Math.ceil((at + windowMs - now) / 1000));
  return `The same was asked and answered just now. Ask again in ${wait} s.`;
}
