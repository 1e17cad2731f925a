import type { Identity } from '../identity.js';

/** The places that can disagree, in the order in which each follows from those before it. */
export const LAYERS = ['choice', 'slot', 'order', 'pin', 'effective', 'usage', 'label'] as const;
export type LayerName = (typeof LAYERS)[number];

export const VERDICTS = ['agrees', 'disagrees', 'unknown'] as const;
export type Verdict = (typeof VERDICTS)[number];

/** One place as it is now. */
export interface Layer {
  readonly layer: LayerName;
  /** Whom it means; null where that is nobody, or cannot be told. */
  readonly identity: Identity | null;
  /** What stands there where that is no identity; for the label, the e-mail that is shown. */
  readonly value: string | null;
  /** Where it was read, in words. */
  readonly readFrom: string;
  readonly verdict: Verdict;
  /** One clause; always there for `disagrees` and `unknown`. No e-mail in it. */
  readonly why: string | null;
  /** The command that mends it; null where none does or need be given. */
  readonly remedy: string | null;
}
