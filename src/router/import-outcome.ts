import type { RouterError } from '../errors.js';
import type { IndexEntry } from '../repo/repo.js';
import type { HostNote } from '../slot/host.js';
import type { Difference } from './import-difference.js';
import type { Skipped } from './import-source.js';
import type { Candidate, ImportResult } from './import-step.js';

/** What was stored, or would be. */
export interface Imported {
  readonly entry: Pick<IndexEntry, 'identity' | 'alias' | 'source' | 'sharedWith' | 'verified' | 'doubt'>;
  readonly result: ImportResult;
  /** Where it was found, in words. */
  readonly from: string;
  readonly difference: Difference;
}

/** A login that was understood and is not stored. */
export interface Refused {
  readonly candidate: Candidate;
  /** What is stored of its identity. */
  readonly entry: IndexEntry | null;
  readonly error: RouterError;
  /** What it would have changed. */
  readonly difference: Difference;
}

export interface ImportOutcome {
  readonly imported: readonly Imported[];
  readonly refused: readonly Refused[];
  readonly skipped: readonly Skipped[];
  readonly notes: readonly HostNote[];
}
