import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { systemErrorCode } from '../errors.js';
import { type AccountId, parseAccountId, parseUserId, type UserId } from '../identity.js';
import { isObject, type Json, parseJsonObject } from '../json.js';
import { ioError, writeAtomic } from '../os/atomic.js';
import { open, readFile } from '../os/files.js';
import { ensureFolder } from '../os/folders.js';
import { type ChoiceIntent, type ChoiceRecord, type Written, whatCounts } from './journal-choices.js';

/** Whom a journal line speaks of: ids only, never a token or e-mail. */
export interface Who {
  readonly accountId: AccountId;
  readonly userId: UserId;
}

/**
 * How far a switch came. A line is written before the step that follows it is begun. `applied`: all is written, but a turn was
 * running or may have been, whose end can write old values back; to be looked at again. `abandoned`: nothing had been written to
 * the host when it stopped, or it was taken back.
 */
export type SwitchStep = (typeof STEPS)[number];

const STEPS = ['begun', 'swapped', 'applied', 'done', 'abandoned'] as const;

/** A session whose pin a switch sets, and what it was pinned to before. The key is OpenClaw's and may name a chat. */
export interface PinChange {
  readonly agent: string;
  readonly key: string;
  readonly was: string | null;
}

/** What a switch is going to do. */
export interface SwitchIntent {
  /** `SlotAddress.id` */
  readonly slot: string;
  readonly from: Who | null;
  readonly to: Who | null;
  readonly pins: readonly PinChange[];
  /** The id of the switch that this one takes back; null for any other. */
  readonly undoes: string | null;
}

export interface SwitchRecord extends SwitchIntent {
  readonly id: string;
  /** ms epoch of the latest line. */
  readonly at: number;
  readonly step: SwitchStep;
}

/** What was switched, when, and how far it came; the memory behind `use -`. */
export interface Journal {
  /** Oldest first, one per switch; a torn last line (a crash while writing it) is left out. */
  read(): Promise<readonly SwitchRecord[]>;
  /** Durable when it returns; gives the id that `advance` needs. */
  begin(intent: SwitchIntent, now: number): Promise<string>;
  /** Oldest first; a pin that was set otherwise since is left out of its choice. */
  choices(): Promise<readonly ChoiceRecord[]>;
  /** As `begin`, for pins that a person chose without a switch: from now on no earlier record names these sessions. */
  choose(choice: ChoiceIntent, now: number): Promise<string>;
  advance(id: string, step: Exclude<SwitchStep, 'begun'>, now: number): Promise<void>;
  /** The number of lines that cannot be understood, but for a torn last one. */
  damaged(): Promise<number>;
}

const KEPT = 200;
const LONGEST_BYTES = 256 * 1024;

/** The journal in `folder`: JSON lines in a 0600 file, cut to the last 200 switches when it grows past 256 KiB. */
export function journalIn(folder: string): Journal {
  const path = join(folder, 'journal.jsonl');
  const append = async (line: object, durably: boolean): Promise<void> => {
    await ensureFolder(folder);
    try {
      const file = await open(path, 'a', 0o600);
      try {
        // A line torn by a crash must not swallow the next one.
        const { size } = await file.stat();
        await file.writeFile(`${size > 0 ? await lineBreak(path, size) : ''}${JSON.stringify(line)}\n`);
        if (durably) await file.datasync();
      } finally {
        await file.close();
      }
    } catch (error) {
      throw ioError(error, path, 'write');
    }
  };
  const load = async () => {
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return { switches: [], choices: [], bytes: 0, damaged: 0 };
      throw ioError(error, path, 'read');
    }
    const { written, damaged } = collect(text);
    return { ...whatCounts(written), bytes: text.length, damaged };
  };
  const cut = async () => {
    const { switches, choices, bytes } = await load();
    if (bytes <= LONGEST_BYTES) return;
    const made = choices.filter(({ step, pins }) => step !== 'abandoned' && pins.length > 0);
    const open = made.slice(0, -KEPT).filter(({ step }) => isOpen(step));
    const kept = [...switches.slice(-KEPT), ...open, ...made.slice(-KEPT)].map(
      (record) => `${JSON.stringify({ v: 1, ...record })}\n`,
    );
    await writeAtomic(path, kept.join(''));
  };
  return {
    async read() {
      return (await load()).switches;
    },
    async begin({ slot, from, to, pins, undoes }, now) {
      await cut();
      const id = randomUUID();
      await append({ v: 1, id, at: now, slot, from, to, pins, undoes, step: 'begun' }, true);
      return id;
    },
    async choices() {
      return (await load()).choices;
    },
    async choose({ host, is, pins }, now) {
      await cut();
      const id = randomUUID();
      await append({ v: 1, id, at: now, host, is, pins, step: 'begun' }, true);
      return id;
    },
    async advance(id, step, now) {
      // After a power cut the slot itself tells whether it was swapped.
      await append({ v: 1, id, at: now, step }, step !== 'swapped');
    },
    async damaged() {
      return (await load()).damaged;
    },
  };
}

/** Whether it is to be looked at again. */
export function isOpen(step: SwitchStep): boolean {
  return step !== 'done' && step !== 'abandoned';
}

async function lineBreak(path: string, size: number): Promise<string> {
  const file = await open(path, 'r');
  try {
    const { buffer } = await file.read(Buffer.alloc(1), 0, 1, size - 1);
    return buffer[0] === 0x0a ? '' : '\n';
  } finally {
    await file.close();
  }
}

function collect(text: string): { written: Written[]; damaged: number } {
  const written = new Map<string, Written>();
  const lines = text.split('\n');
  let damaged = 0;
  for (const [place, line] of lines.entries()) {
    const parsed = parseLine(line);
    if (parsed === null) {
      // The last one is empty, or torn by a crash in the middle of writing it.
      if (place < lines.length - 1) damaged += 1;
      continue;
    }
    const { begun, ...latest } = parsed;
    const known = begun ?? written.get(latest.id);
    if (known?.kind === 'switch')
      written.set(latest.id, { kind: 'switch', record: { ...known.record, ...latest } });
    if (known?.kind === 'choice')
      written.set(latest.id, { kind: 'choice', record: { ...known.record, ...latest } });
  }
  return { written: [...written.values()], damaged };
}

/** The first line of a switch, or of a choice, says all; the later ones only how far it came. */
type Line = Pick<SwitchRecord, 'id' | 'at' | 'step'> & {
  readonly begun:
    | { readonly kind: 'switch'; readonly record: SwitchIntent }
    | { readonly kind: 'choice'; readonly record: ChoiceIntent }
    | null;
};

/** Null for a torn or foreign line: the journal informs, it never decides what a slot holds. */
function parseLine(text: string): Line | null {
  try {
    const line = parseJsonObject(text);
    if (line?.v !== 1) return null;
    const { id, at, step, slot, from, to, host, is = null, pins = [], undoes = null } = line;
    if (typeof id !== 'string' || typeof at !== 'number' || !isStep(step)) return null;
    if (slot !== undefined) {
      if (typeof slot !== 'string' || (undoes !== null && typeof undoes !== 'string')) return null;
      const record = { slot, from: parseWho(from), to: parseWho(to), pins: parsePins(pins), undoes };
      return { id, at, step, begun: { kind: 'switch', record } };
    }
    if (host === undefined) return { id, at, step, begun: null };
    if (typeof host !== 'string' || (is !== null && typeof is !== 'string')) return null;
    return { id, at, step, begun: { kind: 'choice', record: { host, is, pins: parsePins(pins) } } };
  } catch {
    return null;
  }
}

/** @throws when it is neither null nor two ids */
function parseWho(value: Json | undefined): Who | null {
  if (value === null) return null;
  if (!isObject(value)) throw new Error('not a person');
  return { accountId: parseAccountId(value.accountId), userId: parseUserId(value.userId) };
}

/** @throws when it is no list of pins */
function parsePins(value: Json): readonly PinChange[] {
  if (!Array.isArray(value)) throw new Error('not a list');
  return value.map((pin: Json) => {
    if (!isObject(pin)) throw new Error('not a pin');
    const { agent, key, was } = pin;
    if (typeof agent !== 'string' || typeof key !== 'string') throw new Error('not a pin');
    if (was !== null && typeof was !== 'string') throw new Error('not a pin');
    return { agent, key, was };
  });
}

function isStep(value: unknown): value is SwitchStep {
  return STEPS.some((step) => step === value);
}
