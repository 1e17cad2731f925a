import { RouterError } from '../errors.js';
import type { Env } from '../os/folders.js';
import { affectedBy, companionsOf } from '../slot/companions.js';
import type { Host, HostNote, SlotGroup } from '../slot/host.js';
import type { PinOutcome, SessionEntry } from '../slot/pins.js';
import { type CurrentSession, canonicalKey, currentSession, type SessionWish } from '../slot/session.js';
import type { SlotReading } from '../slot/slot.js';

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
  readonly notes: readonly HostNote[];
  /**
   * Never throws a RouterError: pins that could not be set are `pending`, with a note that says why.
   * @param running canonical keys of sessions inside a turn now, whose pins can still be lost; null when it is not known
   */
  carryOut(
    running: ReadonlySet<string> | null,
  ): Promise<{ readonly outcomes: readonly PinOutcome[]; readonly notes: readonly HostNote[] }>;
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
  switched: boolean,
): Promise<PinPlan> {
  const { profileId } = group.main.address;
  const { provider } = host.summary;
  const rules = { slotProfileId: profileId, provider, knownProfileIds: profilesAfter(profileId, slots) };
  const pins = host.pinsOf(group.agent);
  const entries = await pins.read();
  const own = affectedBy(entries, rules);

  const sessions: string[] = [];
  const notes: HostNote[] = [];
  for (const agent of switched ? group.follows : []) {
    const affected = agent === group.agent ? own : affectedBy(await host.pinsOf(agent).read(), rules);
    sessions.push(...affected.sessions);
    if (affected.left.length > 0) {
      const text = `${affected.left.length} session(s) of agent ${agent} are pinned to another login and were left alone`;
      notes.push({ code: 'PINS_LEFT', text });
    }
  }

  const current = ownPinOnly(currentSession(entries, session, env), entries, provider);
  const keys = session.kind === 'all' ? [...own.sessions] : [];
  if (current.key !== null) keys.push(current.key, ...companionsOf(current.key, entries, rules));
  const wanted = [...new Set(keys)];
  const pinOf = new Map(entries.map((entry) => [entry.key, entry.pinnedTo]));
  const planned = wanted.map((key): PinOutcome => {
    const was = pinOf.get(key) ?? null;
    return { key, was, is: profileId, result: was === profileId ? 'already' : 'set' };
  });
  return {
    current,
    planned,
    affects: { agents: switched ? group.follows : [], sessions },
    notes,
    carryOut: async (running) => {
      if (wanted.length === 0) return { outcomes: [], notes: [] };
      try {
        return { outcomes: pending(await pins.set(wanted, profileId), env, running), notes: [] };
      } catch (error) {
        const stopped = error instanceof Error && error.name === 'AbortError';
        if (!stopped && !(error instanceof RouterError)) throw error;
        // The slot has switched: that is not undone because a pin has to wait.
        const outcomes = planned.map((pin) => ({ ...pin, is: pin.was, result: 'pending' as const }));
        const text = `the pins could not be set now (${error.message}): run the command again to set them`;
        return { outcomes, notes: [{ code: stopped ? 'INTERRUPTED' : 'PINS_PENDING', text }] };
      }
    },
  };
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
  provider: string,
): CurrentSession {
  const pin = entries.find(({ key }) => key === current.key)?.pinnedTo ?? null;
  if (pin === null || pin.startsWith(`${provider}:`)) return current;
  return {
    key: null,
    why: `${current.key} is pinned to ${pin}, which is not a login of ${provider}, and was left`,
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
  const inside = env.OPENCLAW_SHELL === 'exec';
  return outcomes.map((outcome) =>
    outcome.result === 'set' && (inside || running?.has(canonicalKey(outcome.key)))
      ? { ...outcome, result: 'pending' }
      : outcome,
  );
}
