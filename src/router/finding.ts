import type { HostNote } from '../slot/host.js';
import type { FileAsFound } from '../slot/trouble.js';
import { LAYERS } from './explain-layers.js';
import type { FindingCode } from './finding-codes.js';

/** What a finding is about, and what its mend changes: a layer of `explain`, or a thing that no layer is. */
export const PARTS = [...LAYERS, 'custody', 'vault', 'lock', 'permissions', 'leftover', 'clock'] as const;
export type Part = (typeof PARTS)[number];

/**
 * What stood there before a mend, as much of it as is needed to put it back. Sealed when it is kept: session keys, and what a file held,
 * are nobody else's business.
 */
export type Before =
  | { readonly kind: 'pins'; readonly agent: string; readonly pins: readonly PinBefore[] }
  | { readonly kind: 'selection'; readonly agent: string; readonly slots: readonly SelectionBefore[] }
  | FileBefore;

export interface FileBefore extends FileAsFound {
  readonly kind: 'file';
  /**
   * What the mend writes in its place: an undo leaves a file that is something else by then. Left out: the mend takes it away, or changes
   * its mode only.
   */
  readonly next?: Uint8Array;
  /** It is not put back while a gateway runs, which would restart itself for the change. */
  readonly restarts?: boolean;
}

export interface SelectionBefore {
  /** `SlotAddress.id` */
  readonly id: string;
  readonly order: readonly string[] | null;
  readonly lastGood: string | null;
}

export interface PinBefore {
  readonly key: string;
  readonly was: string | null;
  /** What the mend made of it: an undo leaves what has been changed since. */
  readonly is: string | null;
}

/** Keeps what is about to be changed, sealed and proved when it returns, and gives its id (eight hex digits). @throws KEY*, IO */
export type KeepBefore = (before: Before) => Promise<string>;

export interface Mended {
  /** What was changed: a sentence without a full stop. */
  readonly text: string;
  /** The command that takes it back; null where there is nothing to go back to. */
  readonly undo: string | null;
  readonly notes: readonly HostNote[];
}

/** The smallest change after which a finding is gone. */
export interface Mend {
  /** What it would do, in the words of an order: `set the order of agent main to the slot alone`. */
  readonly does: string;
  /**
   * Takes the locks it needs, looks again, keeps what it is about to change, and changes it. Signs nobody out, ends nobody's login, kills and
   * restarts nothing.
   * @throws RouterError when it was not mended: then nothing was changed, or the back-up that `keep` gave holds what was
   */
  carryOut(keep: KeepBefore): Promise<Mended>;
}

/** One thing that is not as it should be. */
export interface Finding<Code extends FindingCode = FindingCode> {
  readonly code: Code;
  readonly part: Part;
  /** Whether a login can be lost or spent twice if nothing is done. */
  readonly danger: boolean;
  /** One sentence. */
  readonly text: string;
  /** The one command that mends it; null where none does, or nothing need be done. */
  readonly remedy: string | null;
  /** What `doctor --fix` does about it; null where that is for the person to decide. */
  readonly mend: Mend | null;
}
