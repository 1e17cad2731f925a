import type { Identity } from '../identity.js';
import type { RoundAnswer, SlotRound } from '../router/failover-plan.js';
import type { LeaveAnswer } from '../router/leave-own-slot.js';
import type { HostNote } from '../slot/host.js';
import type { PinOutcome } from '../slot/pins.js';
import type { SlotAddress } from '../slot/slot.js';
import { DONE, type FailoverLeaveDocument, type FailoverRoundDocument, slotOf } from './documents.js';
import type { People } from './failover-people.js';

/** What a round prints with `--json`. */
export function roundDocument(answer: RoundAnswer, people: People): FailoverRoundDocument {
  const { at, apply, mode, sessions, slots, asked, notes } = answer;
  const statusOf = (slot: string | null) =>
    slots.find((one) => one.slot.id === slot)?.decision.status ?? null;
  return {
    ...DONE,
    at,
    apply,
    mode,
    sessions: sessions.map(({ key, agent, runsOn, pinnedTo, pinnedBy, why, slot }) => ({
      key: people.said(key),
      agent,
      status: runsOn === 'missing' ? 'missing_session' : statusOf(slot),
      runsOn,
      pinnedTo: pinnedTo && people.said(pinnedTo),
      pinnedBy,
      why: why && people.said(why),
    })),
    slots: slots.map((one) => slotIn(one, people)),
    asked: asked.map(people.person),
    notes: [...notes, ...slots.flatMap(({ outcome }) => outcome?.notes ?? [])].map((note) =>
      noteIn(note, people),
    ),
  };
}

function slotIn(round: SlotRound, people: People): FailoverRoundDocument['slots'][number] {
  const { decision, outcome, failure, others } = round;
  const { said } = people;
  const why = said(round.why);
  const person = (who: Identity | null) => who && people.person(who);
  const weighed = new Map(decision.weighed.map((one) => [one.key, one]));
  return {
    slot: placeIn(round.slot, people),
    sessions: round.sessions.map(said),
    current: person(round.current),
    status: decision.status,
    reason: decision.reason,
    held: decision.held,
    why,
    to: person(round.to?.identity ?? null),
    changes: round.changes.map(({ session, from, to, named }) => ({
      session: said(session),
      from: person(from),
      to: people.person(to),
      why,
      named,
    })),
    others: { sessions: others.sessions.map(said), agents: [...others.agents] },
    looked: round.looked.map(({ entry, reading, asked, why: cause, remedy }) => ({
      identity: people.person(entry.identity),
      verdict: weighed.get(reading.key)?.verdict ?? null,
      state: reading.state,
      asked,
      windows: reading.windows.map((window) => ({ ...window })),
      effectivePercent: weighed.get(reading.key)?.effectivePercent ?? null,
      restsUntil: reading.restsUntil,
      why: cause && said(cause),
      remedy: remedy && said(remedy),
    })),
    passed: round.passed.map(({ entry, why: cause }) => ({
      identity: people.person(entry.identity),
      why: said(cause),
    })),
    outcome: outcome && {
      slot: placeIn(outcome.slot, people),
      inSlot: person(outcome.inSlot),
      pins: outcome.pins.map((pin) => pinIn(pin, people)),
      effective: outcome.effective,
      proved: outcome.proved,
      advice: outcome.advice && said(outcome.advice),
    },
    failure: failure && {
      code: failure.code,
      message: said(failure.message),
      hint: failure.hint === undefined ? null : said(failure.hint),
    },
  };
}

/** A profile id may be named by an e-mail. */
function placeIn(slot: SlotAddress, { said }: People) {
  const { profileId, ...place } = slotOf(slot);
  return { ...place, profileId: said(profileId) };
}

function pinIn({ key, was, is, result }: PinOutcome, { said }: People) {
  return { key: said(key), was: was && said(was), is: is && said(is), result };
}

function noteIn({ code, text }: HostNote, { said }: People) {
  return { code, text: said(text) };
}

/** What `failover leave` prints with `--json`. */
export function leaveDocument({ result, slots, notes }: LeaveAnswer, people: People): FailoverLeaveDocument {
  return {
    ...DONE,
    result,
    slots: slots.map(({ slot, identity, isEmptied, pins, checkedIn, reload }) => ({
      slot: placeIn(slot, people),
      identity: identity && people.person(identity),
      emptied: isEmptied,
      pins: pins.map((pin) => pinIn(pin, people)),
      checkedIn,
      effective: reload?.effective ?? null,
      proved: reload?.proved ?? false,
      advice: reload?.advice ? people.said(reload.advice) : null,
    })),
    notes: notes.map((note) => noteIn(note, people)),
  };
}
