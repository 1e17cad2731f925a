import { RouterError } from '../errors.js';
import type { Env } from '../os/folders.js';
import type { PinChange } from '../repo/journal.js';
import { affectedBy, companionsOf, isOfProvider, leftOverPins, type PinRules } from '../slot/companions.js';
import type { Host, HostNote, SlotGroup } from '../slot/host.js';
import { isOwnSlot } from '../slot/own-slot.js';
import type { PinOutcome, Pins, SessionEntry, SessionSurvey } from '../slot/pins.js';
import {
  type CurrentSession,
  canonicalKey,
  currentSession,
  keyMeant,
  type SessionWish,
} from '../slot/session.js';
import type { SlotReading } from '../slot/slot.js';
import { leaveSessions } from './every-slot.js';

/** Everything whose account changes with the slot, not only what is pinned. */
export interface Affects {
  readonly agents: readonly string[];
  readonly sessions: readonly string[];
}

export interface PinPlan {
  /** The chat that counts as current, and how it was found or why there is none. */
  readonly current: { readonly key: string | null; readonly why: string };
  /** What will be pinned: the current session and its companions. */
  readonly planned: readonly PinOutcome[];
  readonly affects: Affects;
  /** The sessions that follow the slot, and the current one: of a switch, those whose account it changes. */
  readonly following: readonly SessionEntry[];
  /** What `carryOut` is going to write, with what was there, for the journal. */
  readonly changes: readonly PinChange[];
  readonly notes: readonly HostNote[];
  /**
   * Never throws a RouterError: pins that could not be set are `pending`, with a note that says why.
   * @param running canonical keys of sessions inside a turn now, whose pins can still be lost; null when it is not known
   */
  carryOut(running: ReadonlySet<string> | null): Promise<PinsDone>;
}

export interface PinsDone {
  readonly outcomes: readonly PinOutcome[];
  readonly notes: readonly HostNote[];
  /** Some store could not be written at all: the next run looks for what is left to pin. */
  readonly failed: boolean;
}

/**
 * Decides the pins before anything is written, so that an unknown `--session` fails with nothing changed.
 * @param slots the switch as planned; only where it changes a slot does any session's account change.
 * @throws SESSION_NOT_FOUND, HOST_UNREADABLE
 */
export async function planPins(
  host: Host,
  group: SlotGroup,
  slots: readonly { readonly reading: SlotReading; readonly takeOut: readonly string[] }[],
  session: SessionWish,
  env: Env,
  { switched, unfinished }: { readonly switched: boolean; readonly unfinished: boolean },
): Promise<PinPlan> {
  const { profileId } = group.main.address;
  const { provider, formerProvider } = host.summary;
  const knownProfileIds = profilesAfter(profileId, slots);
  const rules: PinRules = { slotProfileId: profileId, provider, formerProvider, knownProfileIds };
  // What an upgrade left over is looked for in all sessions once: while the stores still choose by the old names too, or until
  // the switch that mended them has set its pins.
  const mends = unfinished || slots.some(({ reading }) => !reading.selectable);
  const again = session.kind === 'again' || session.kind === 'only' ? session.pins : [];
  const all = session.kind === 'all' || again.length > 0 || (formerProvider !== null && mends);
  const notes: HostNote[] = [];
  const look = async (agent: string, key: string | null): Promise<SessionSurvey> => {
    const pins = host.pinsOf(agent);
    try {
      return all ? { entries: await pins.read(), unread: 0 } : await pins.survey(key);
    } catch (error) {
      // Who pins nothing here is not stopped by sessions that cannot be read, nor is one agent by another's.
      const needed = agent === group.agent && session.kind !== 'none';
      if (needed || !(error instanceof RouterError)) throw error;
      notes.push({
        code: error.code,
        text: `the sessions of agent ${agent} were left alone: ${error.message}`,
      });
      return { entries: [], unread: 0 };
    }
  };
  const { entries, unread } = await look(group.agent, keyMeant(session, env));
  const own = affectedBy(entries, rules);

  const current = ownPinOnly(currentSession(entries, session, env), entries, rules);
  const againIn = (agent: string) => again.flatMap((pin) => (pin.agent === agent ? [pin.key] : []));
  const keys = session.kind === 'all' ? [...own.sessions] : againIn(group.agent);
  if (current.key !== null) keys.push(current.key, ...companionsOf(current.key, entries, rules));
  const targets: Target[] = [targetOf(host.pinsOf(group.agent), entries, rules, session, keys)];

  const sessions: string[] = [];
  const moving = new Set([...own.sessions, ...(current.key === null ? [] : [current.key])]);
  const following: SessionEntry[] = entries.filter(({ key }) => moving.has(key));
  let unlisted = 0;
  for (const agent of switched || all ? group.follows : []) {
    const survey = agent === group.agent ? { entries, unread } : await look(agent, null);
    if (agent !== group.agent)
      targets.push(targetOf(host.pinsOf(agent), survey.entries, rules, session, againIn(agent)));
    if (!switched) continue;
    const affected = affectedBy(survey.entries, rules);
    sessions.push(...affected.sessions);
    if (agent !== group.agent) {
      const theirs = new Set(affected.sessions);
      following.push(...survey.entries.filter(({ key }) => theirs.has(key)));
    }
    unlisted += survey.unread;
    if (affected.left.length > 0) {
      const text = `${affected.left.length} session(s) of agent ${agent} are pinned to another login and were left alone`;
      notes.push({ code: 'PINS_LEFT', text });
    }
  }
  if (unlisted > 0) {
    const text = `${unlisted} older session(s) were not looked at: those that use this slot move too`;
    notes.push({ code: 'SESSIONS_NOT_LISTED', text });
  }
  const planned = targets.flatMap((target) => target.planned);
  const changes = targets.flatMap(({ pins, planned: own }) =>
    own.flatMap(({ key, was, result }) => (result === 'set' ? [{ agent: pins.agent, key, was }] : [])),
  );
  return {
    current,
    planned,
    changes,
    affects: { agents: switched ? group.follows : [], sessions },
    following,
    notes,
    carryOut: async (running) => {
      const written: PinsWritten[] = [];
      for (const target of targets) written.push(await setPins(target, profileId));
      const done = await Promise.all(written.map((each) => keepPins(each, profileId, env, running)));
      return {
        outcomes: done.flatMap(({ outcomes }) => outcomes),
        notes: done.flatMap((each) => each.notes),
        failed: done.some((each) => each.failed),
      };
    },
  };
}

/** What is pinned in one agent's sessions. */
export interface Target {
  readonly pins: Pins;
  readonly planned: readonly PinOutcome[];
}

function targetOf(
  pins: Pins,
  entries: readonly SessionEntry[],
  rules: PinRules,
  session: SessionWish,
  keys: readonly string[],
): Target {
  const mendsNone = session.kind === 'none' || session.kind === 'only';
  const leftOver = mendsNone ? [] : leftOverPins(entries, rules);
  const pinOf = new Map(entries.map((entry) => [entry.key, entry.pinnedTo]));
  const planned = [...new Set([...keys, ...leftOver])].map((key): PinOutcome => {
    const was = pinOf.get(key) ?? null;
    const is = rules.slotProfileId;
    return { key, was, is, result: was === is ? 'already' : 'set' };
  });
  return { pins, planned };
}

export interface PinsWritten extends PinsDone {
  readonly pins: Pins;
}

export async function setPins({ pins, planned }: Target, profileId: string): Promise<PinsWritten> {
  if (planned.length === 0) return { pins, outcomes: [], notes: [], failed: false };
  try {
    const keys = planned.map(({ key }) => key);
    return { pins, outcomes: await pins.set(keys, profileId), notes: [], failed: false };
  } catch (error) {
    const stopped = error instanceof Error && error.name === 'AbortError';
    if (!stopped && !(error instanceof RouterError)) throw error;
    // The slot has switched: that is not undone because a pin has to wait.
    const outcomes = planned.map((pin) => ({ ...pin, is: pin.was, result: 'pending' as const }));
    const hint = error instanceof RouterError ? error.hint : undefined;
    const text = `the pins could not be set now (${error.message}): ${hint ?? 'run the command again to set them'}`;
    const notes = [{ code: stopped ? 'INTERRUPTED' : 'PINS_PENDING', text }];
    return { pins, outcomes, notes, failed: true };
  }
}

/** What is left of it once the host had time to write over it. */
export async function keepPins(
  written: PinsWritten,
  profileId: string | null,
  env: Env,
  running: ReadonlySet<string> | null,
): Promise<PinsDone> {
  const { pins, failed } = written;
  if (failed || written.outcomes.length === 0) return written;
  const kept = (await pins.keep?.(written.outcomes, profileId)) ?? written.outcomes;
  const outcomes = pending(kept, env, running);
  const notes: HostNote[] = outcomes.flatMap(({ key, why }) =>
    why === undefined ? [] : [{ code: 'PINS_PENDING', text: `${key} was not pinned: ${why}` }],
  );
  if (isInside(env) && outcomes.some(({ result }, index) => result !== kept[index]?.result)) {
    const text =
      'the turn that runs this may write the old pin back when it ends: codex-router sync, or the next use, sets it again then';
    notes.push({ code: 'PINS_PENDING', text });
  }
  const repaired = outcomes.reduce((sum, outcome) => sum + (outcome.repaired ?? 0), 0);
  if (repaired > 0) {
    const what = repaired === 1 ? '1 session entry' : `${repaired} session entries`;
    const text = `${what} that OpenClaw wrote over ${repaired === 1 ? 'was' : 'were'} put back`;
    notes.push({ code: 'PINS_REPAIRED', text });
  }
  return { outcomes, notes, failed };
}

/** The profile ids each store will hold after the switch; a pin to any other one of the provider is dangling. */
function profilesAfter(
  slotProfileId: string,
  slots: readonly { readonly reading: SlotReading; readonly takeOut: readonly string[] }[],
): ReadonlySet<string> {
  const left = slots.flatMap(({ reading, takeOut }) =>
    reading.neighbours.map((neighbour) => neighbour.profileId).filter((id) => !takeOut.includes(id)),
  );
  return new Set([slotProfileId, ...left]);
}

/** A chat that runs on another provider's login, or on a `personal:` one, is left on it and said so. */
function ownPinOnly(
  current: CurrentSession,
  entries: readonly SessionEntry[],
  rules: PinRules,
): CurrentSession {
  const pin = entries.find(({ key }) => key === current.key)?.pinnedTo ?? null;
  if (pin !== null && isOwnSlot(pin) && rules.knownProfileIds.has(pin)) {
    const { key } = current;
    const leave = leaveSessions(key === null ? [] : [key]);
    return { key: null, why: `${key} has a slot of its own, ${pin}, and was left: ${leave}` };
  }
  if (pin === null || isOfProvider(pin, rules)) return current;
  return {
    key: null,
    why: `${current.key} is pinned to ${pin}, which is not a login of ${rules.provider}, and was left`,
  };
}

/**
 * The end of a run can write its session's old pin back (facts: `updateSessionStoreAfterAgentRun`, 3.28 to 5.7), so inside
 * one, our own or another, a pin is not called set before it has ended.
 */
function pending(
  outcomes: readonly PinOutcome[],
  env: Env,
  running: ReadonlySet<string> | null,
): readonly PinOutcome[] {
  const inside = isInside(env);
  return outcomes.map((outcome) =>
    outcome.result === 'set' && (inside || running?.has(canonicalKey(outcome.key)))
      ? { ...outcome, result: 'pending' }
      : outcome,
  );
}

function isInside(env: Env): boolean {
  return env.OPENCLAW_SHELL === 'exec';
}
