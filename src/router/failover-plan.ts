import type { RouterError } from '../errors.js';
import type { FailoverReason } from '../failover.js';
import type { Identity } from '../identity.js';
import { leftText } from '../limits.js';
import type { IndexEntry } from '../repo/repo.js';
import type { Effective, HostNote } from '../slot/host.js';
import type { PinOutcome } from '../slot/pins.js';
import type { SlotAddress } from '../slot/slot.js';
import type { Passed } from './failover-candidates.js';
import type { Decision, ReadWindow } from './failover-policy.js';
import type { Looked } from './failover-readings.js';
import type { Others } from './failover-scope.js';
import type { SessionSeen } from './failover-sessions.js';
import type { FailoverSettings } from './failover-settings.js';
import { clockText } from './times.js';

/**
 * How far a switch may go. `named`: as far as the sessions that were named, and refused where their slot would move anybody else; `shared`:
 * the slot, whoever else moves with it; `own`: the named sessions leave a slot they share for one of their own.
 */
export const ROUND_MODES = ['named', 'shared', 'own'] as const;
export type RoundMode = (typeof ROUND_MODES)[number];

export interface RoundRequest {
  /** Keys, full or without `agent:<id>:` for the default agent's; empty: those of the settings. */
  readonly sessions: readonly string[];
  readonly mode: RoundMode;
  /** Whether a switch that is recommended is made. Else nothing at all is written. */
  readonly apply: boolean;
}

/** One look at the sessions that were named, and what was decided and done. */
export interface RoundAnswer {
  /** ms epoch */
  readonly at: number;
  readonly mode: RoundMode;
  readonly apply: boolean;
  readonly sessions: readonly SessionSeen[];
  /** One for each slot that they run on. */
  readonly slots: readonly SlotRound[];
  /** Whose own token was used for a question, and nobody else's was. */
  readonly asked: readonly Identity[];
  readonly notes: readonly HostNote[];
}

export interface SlotRound {
  readonly slot: SlotAddress;
  /** Those that were named. */
  readonly sessions: readonly string[];
  /** Null for an empty slot, or one whose login cannot be told. */
  readonly current: Identity | null;
  /** `switched` once a second look has found it so. */
  readonly decision: Decision;
  /** In words and numbers, why the current one is kept or left. */
  readonly why: string;
  /** Whom a switch goes to; null for none. */
  readonly to: IndexEntry | null;
  readonly looked: readonly Looked[];
  readonly passed: readonly Passed[];
  /** Every entry that a switch would write, or has written; empty where none is recommended. */
  readonly changes: readonly SessionChange[];
  /** Who would move though not named, whatever was decided; nobody for `own`. */
  readonly others: Others;
  /** Null for a plan. */
  readonly outcome: SlotOutcome | null;
  /** Why a switch that was to be made was not; null where none was or it was made. */
  readonly failure: RouterError | null;
}

export interface SessionChange {
  readonly session: string;
  readonly from: Identity | null;
  readonly to: Identity;
  /** One that was named, or a companion of one. */
  readonly named: boolean;
}

/** What a second look has found. */
export interface SlotOutcome {
  /** Where the named sessions are now. */
  readonly slot: SlotAddress;
  readonly inSlot: Identity | null;
  readonly pins: readonly PinOutcome[];
  readonly effective: Effective;
  /** As `ReloadOutcome`. */
  readonly proved: boolean;
  readonly advice: string | null;
  readonly notes: readonly HostNote[];
}

/** Everybody that an answer tells of. */
export function whoIn({ slots, asked }: RoundAnswer): readonly Identity[] {
  const found = slots.flatMap(({ current, to, looked, passed, outcome }) => [
    current,
    to?.identity ?? null,
    outcome?.inSlot ?? null,
    ...[...looked, ...passed].map(({ entry }) => entry.identity),
  ]);
  return [...asked, ...found.filter((who) => who !== null)];
}

const NAMES: { readonly [window in ReadWindow['window']]: string } = { fiveHour: '5 h', weekly: 'week' };

/** `5 h 4 % left (leaves at 10 %), resets 14:05`, of each window; empty where none was told. */
export function windowsText(
  windows: readonly ReadWindow[],
  { thresholdPercent }: Pick<FailoverSettings, 'thresholdPercent'>,
  now: number,
): string {
  return windows
    .map(({ window, remainingPercent, resetsAt }) => {
      const reset = resetsAt === null ? '' : `, resets ${clockText(resetsAt, now)}`;
      const leaves = `leaves at ${thresholdPercent[window]} %`;
      return `${NAMES[window]} ${leftText(remainingPercent)} left (${leaves})${reset}`;
    })
    .join('; ');
}

const REASONS: { readonly [reason in FailoverReason]: string } = {
  missing_profile_entry: 'the slot holds no login',
  missing_token: 'the login in the slot is gone',
  token_expired: 'its access token has expired and cannot be renewed',
  current_profile_usage_error: 'it fails',
  remaining_below_threshold: 'too little is left',
};

/** Why the current one is kept or left, for a person. */
export function whyText(
  { reason }: Pick<Decision, 'reason'>,
  current: Looked | null,
  trouble: string | null,
  settings: Pick<FailoverSettings, 'thresholdPercent'>,
  now: number,
): string {
  const numbers = windowsText(current?.reading.windows ?? [], settings, now);
  const said = trouble ?? current?.why ?? null;
  if (reason === null) return numbers || (said ?? 'nothing of its limits was told');
  if (reason === 'remaining_below_threshold' && numbers !== '') return numbers;
  return said === null ? REASONS[reason] : `${REASONS[reason]}: ${said}`;
}
