import type { FailoverReason } from '../failover.js';
import { identityKey } from '../identity.js';
import type { RoundAnswer, SlotRound } from '../router/failover-plan.js';
import type { WatchStep } from '../router/failover-watch.js';
import type { Names } from './failover-names.js';
import type { Notice } from './failover-notify.js';

/** Rounds in a row that fail before anybody is told: one may be a network that is away for a minute. */
export const TOLD_AFTER = 3;

export interface Notices {
  /**
   * What somebody is to be told of this step; none where they were told already, or nothing asks for a person.
   * @param names masks
   * @param aliases what the person calls an identity; null where they do not
   */
  of(step: WatchStep<RoundAnswer>, names: Names, aliases: (key: string) => string | null): readonly Notice[];
}

/** Remembers no more than what was told of each slot of the last round. */
export function notices(apply: boolean): Notices {
  let told: ReadonlyMap<string, string> = new Map();
  let isFailing = false;
  return {
    of(step, names, aliases) {
      if (step.kind === 'looking') return [];
      if (step.kind === 'trouble') {
        const { standing, trouble } = step;
        if (isFailing || standing.failedInARow < TOLD_AFTER) return [];
        isFailing = true;
        const text = `${standing.failedInARow} failover rounds in a row have failed (${trouble.code})`;
        return [
          { ...NOBODY, at: standing.lastAt ?? 0, apply, kind: 'rounds-fail', text, code: trouble.code },
        ];
      }
      const { round } = step;
      const all = [
        ...round.slots.flatMap((one) => slotNotice(one, round, names, aliases) ?? []),
        ...missing(round, names),
      ];
      const fresh = all.filter(({ about, sign }) => told.get(about) !== sign);
      told = new Map(all.map(({ about, sign }) => [about, sign]));
      const recovered: Notice[] = isFailing
        ? [{ ...NOBODY, at: round.at, apply, kind: 'recovered', text: 'failover rounds succeed again' }]
        : [];
      isFailing = false;
      return [...recovered, ...fresh.map(({ notice }) => notice)];
    },
  };
}

const NOBODY = {
  slot: null,
  sessions: [],
  from: null,
  to: null,
  reason: null,
  status: null,
  code: null,
} as const;

/** A notice, what it is about, and what has to change before it is told again. */
interface Sent {
  readonly about: string;
  readonly sign: string;
  readonly notice: Notice;
}

const WHY: { readonly [reason in FailoverReason]: string } = {
  missing_profile_entry: 'there is no login in the slot',
  missing_token: 'its login has no token',
  token_expired: 'its token has expired',
  current_profile_usage_error: 'its usage could not be read',
  remaining_below_threshold: 'little is left of its limits',
};

function slotNotice(
  one: SlotRound,
  { at, apply }: RoundAnswer,
  names: Names,
  aliases: (key: string) => string | null,
): Sent | null {
  const { decision, failure, outcome, current, to } = one;
  const kind = kindOf(one, apply);
  if (kind === null) return null;
  const called = (key: Parameters<Names['identity']>[0] | null) =>
    key === null ? 'nobody' : (aliases(key) ?? `identity ${names.identity(key)}`);
  const [fromKey, toKey] = [current && identityKey(current), to && identityKey(to.identity)];
  const [from, into] = [called(fromKey), called(toKey)];
  const why = decision.reason === null ? '' : `: ${WHY[decision.reason]}`;
  const many = one.changes.length;
  const sessions = `${many} session${many === 1 ? '' : 's'}`;
  const text = {
    switched: `failover moved ${sessions} from ${from} to ${into}${why}`,
    'would-switch': `failover would move ${sessions} from ${from} to ${into}${why}; this is a dry run, and nothing was changed`,
    'nobody-better': `${from} should be left, and nobody else is fit${why}`,
    'switch-failed': `failover could not move ${sessions} from ${from} to ${into} (${failure?.code})`,
  }[kind];
  const sign = JSON.stringify([kind, fromKey, toKey, failure?.code ?? null, outcome === null ? null : at]);
  return {
    about: one.slot.id,
    sign,
    notice: {
      kind,
      at,
      apply,
      text,
      slot: names.slot(one.slot.id),
      sessions: one.sessions.map(names.session),
      from: fromKey && names.identity(fromKey),
      to: toKey && names.identity(toKey),
      reason: decision.reason,
      status: decision.status,
      code: failure?.code ?? null,
    },
  };
}

function kindOf({ decision, failure, outcome }: SlotRound, apply: boolean) {
  if (failure !== null) return 'switch-failed';
  if (outcome !== null) return 'switched';
  if (decision.status === 'no_candidate_available') return 'nobody-better';
  return decision.status === 'switch_recommended' && decision.held === null && !apply ? 'would-switch' : null;
}

function missing({ at, apply, sessions }: RoundAnswer, names: Names): readonly Sent[] {
  const gone = sessions.flatMap(({ key, runsOn }) => (runsOn === 'missing' ? [key] : []));
  if (gone.length === 0) return [];
  const text = `${gone.length} of the sessions that failover looks after ${gone.length === 1 ? 'is' : 'are'} not there`;
  const notice: Notice = {
    ...NOBODY,
    kind: 'session-missing',
    at,
    apply,
    text,
    sessions: gone.map(names.session),
    status: 'missing_session',
  };
  return [{ about: 'missing', sign: JSON.stringify(gone), notice }];
}
