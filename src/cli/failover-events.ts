import { identityKey } from '../identity.js';
import { type FailoverEvent, failoverLogIn } from '../repo/failover-log.js';
import type { RoundAnswer, SlotRound } from '../router/failover-plan.js';
import type { Parts } from './compose.js';

/** What the log keeps of a round: an event for each slot, and one for the named sessions that are not there. */
export function eventsOf(answer: RoundAnswer): readonly FailoverEvent[] {
  const { at, apply } = answer;
  const missing = answer.sessions.flatMap(({ key, runsOn }) => (runsOn === 'missing' ? [key] : []));
  const events = answer.slots.map((round): FailoverEvent => {
    const { decision, failure, outcome, current, to } = round;
    const kind = failure !== null ? 'failed' : outcome !== null ? 'switched' : 'decided';
    return {
      at,
      kind,
      apply,
      slot: round.slot.id,
      sessions: round.sessions,
      from: current && identityKey(current),
      to: to && identityKey(to.identity),
      reason: decision.reason,
      status: decision.status,
      held: decision.held,
      code: failure?.code ?? null,
    };
  });
  if (missing.length === 0) return events;
  const nothing = { slot: null, from: null, to: null, reason: null, held: null, code: null } as const;
  return [
    ...events,
    { ...nothing, at, kind: 'decided', apply, sessions: missing, status: 'missing_session' },
  ];
}

/** ms; the log is no reason to wait for long. */
const KEEP_MS = 3000;

/** @throws BUSY, IO */
export async function keepEvents(parts: Parts, events: readonly FailoverEvent[]): Promise<void> {
  if (events.length === 0) return;
  const log = failoverLogIn(parts.folders.data);
  await parts.withLock(async () => {
    for (const event of events) await log.append(event);
  }, KEEP_MS);
}

/** Two rounds with the same text came to the same; what is left in percent, and when, is no news. */
export function digestOf(answer: RoundAnswer): string {
  return JSON.stringify([
    answer.slots.map(digestOfSlot),
    answer.sessions.map(({ key, runsOn }) => [key, runsOn]),
  ]);
}

function digestOfSlot({ slot, sessions, current, decision, to, failure, outcome }: SlotRound) {
  const { status, reason, held } = decision;
  return [
    slot.id,
    sessions,
    current && identityKey(current),
    [status, reason, held],
    to && identityKey(to.identity),
    [failure?.code ?? null, outcome !== null],
  ];
}
