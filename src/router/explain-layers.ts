import type { Identity } from '../identity.js';

/** The places that can disagree, in the order in which each follows from those before it. */
export const LAYERS = ['choice', 'slot', 'order', 'pin', 'effective', 'usage', 'label'] as const;
export type LayerName = (typeof LAYERS)[number];

export const VERDICTS = ['agrees', 'disagrees', 'unknown'] as const;
export type Verdict = (typeof VERDICTS)[number];

/** What is wrong in a layer that disagrees, one word for a program; docs/layers.md tells each. */
export const CAUSES = [
  // choice
  'switch-unfinished',
  // slot
  'other-login',
  'shadowed',
  'slot-empty',
  'slot-foreign',
  'login-damaged',
  'login-lost',
  'login-ended',
  'refresh-failing',
  // order
  'chosen-over',
  'config-refuses',
  'nothing-chosen',
  'takes-turns',
  'slot-resting',
  'other-first',
  'other-behind',
  'last-good',
  // pin
  'pinned-elsewhere',
  'pinned-to-gone',
  'pinned-to-foreign',
  // effective, usage, label
  'gateway-behind',
  'follows-pin',
  'follows-order',
  'config-email',
] as const;
export type Cause = (typeof CAUSES)[number];

/** What a person sees of it: the branches of the decision tree. */
export const SYMPTOMS = [
  'wrong-account',
  'switch-not-followed',
  'usage-not-followed',
  'works-sometimes',
  'broken-token',
  'display-differs',
] as const;
export type Symptom = (typeof SYMPTOMS)[number];

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
  /** Null exactly where it does not disagree. */
  readonly cause: Cause | null;
  /** One clause; always there for `disagrees` and `unknown`. No e-mail in it. */
  readonly why: string | null;
  /** The command that mends it; null where none does or need be given. */
  readonly remedy: string | null;
}

/** A verdict with what goes with it. */
export type Judged = Pick<Layer, 'verdict' | 'cause' | 'why' | 'remedy'>;

/** @param why what is worth knowing all the same */
export function agrees(why: string | null = null): Judged {
  return { verdict: 'agrees', cause: null, why, remedy: null };
}

export function unknown(why: string): Judged {
  return { verdict: 'unknown', cause: null, why, remedy: null };
}

export function disagrees(cause: Cause, why: string, remedy: string | null): Judged {
  return { verdict: 'disagrees', cause, why, remedy };
}

/** What a person sees when this is the first layer that disagrees. @param pin of the same look */
export function symptomOf({ layer, cause }: Layer, pin: Layer): Symptom | null {
  if (cause === null) return null;
  // The chat itself is on the slot, and so is its label; only what follows the order is not.
  const isSteady = pin.verdict === 'agrees' && pin.value !== 'none';
  if (layer === 'order' && cause === 'other-first' && isSteady) return 'usage-not-followed';
  return SYMPTOM_OF[cause];
}

const SYMPTOM_OF: { readonly [C in Cause]: Symptom } = {
  'switch-unfinished': 'switch-not-followed',
  'other-login': 'wrong-account',
  shadowed: 'wrong-account',
  'slot-empty': 'wrong-account',
  'slot-foreign': 'wrong-account',
  'login-damaged': 'broken-token',
  'login-lost': 'broken-token',
  'login-ended': 'broken-token',
  'refresh-failing': 'broken-token',
  'chosen-over': 'wrong-account',
  'config-refuses': 'wrong-account',
  'nothing-chosen': 'wrong-account',
  'takes-turns': 'works-sometimes',
  'slot-resting': 'works-sometimes',
  'other-first': 'wrong-account',
  'other-behind': 'works-sometimes',
  'last-good': 'works-sometimes',
  'pinned-elsewhere': 'switch-not-followed',
  'pinned-to-gone': 'switch-not-followed',
  'pinned-to-foreign': 'switch-not-followed',
  'gateway-behind': 'usage-not-followed',
  'follows-pin': 'switch-not-followed',
  'follows-order': 'wrong-account',
  'config-email': 'display-differs',
};
