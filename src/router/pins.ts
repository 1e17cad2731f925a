import type { Env } from '../os/folders.js';
import { affectedBy, companionsOf } from '../slot/companions.js';
import type { Host, HostNote, SlotGroup } from '../slot/host.js';
import type { PinOutcome } from '../slot/pins.js';
import { currentSession, type SessionWish } from '../slot/session.js';
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
  carryOut(): Promise<readonly PinOutcome[]>;
}

/**
 * Decides the pins before anything is written, so that an unknown `--session` fails with nothing changed.
 * @param switched whether the slot's content changes; if not, no session's account does.
 * @throws SESSION_NOT_FOUND, HOST_UNREADABLE
 */
export async function planPins(
  host: Host,
  group: SlotGroup,
  reading: SlotReading,
  session: SessionWish,
  env: Env,
  switched: boolean,
): Promise<PinPlan> {
  const { profileId } = group.main.address;
  const { provider } = host.summary;
  const known = new Set([profileId, ...reading.neighbours.map((neighbour) => neighbour.profileId)]);
  const pins = host.pinsOf(group.agent);
  const entries = await pins.read();

  const sessions: string[] = [];
  const notes: HostNote[] = [];
  for (const agent of switched ? group.follows : []) {
    const affected = affectedBy(agent === group.agent ? entries : await host.pinsOf(agent).read(), {
      slotProfileId: profileId,
      provider,
      knownProfileIds: known,
    });
    sessions.push(...affected.sessions);
    if (affected.left.length > 0) {
      const text = `${affected.left.length} session(s) of agent ${agent} are pinned to another login and were left alone`;
      notes.push({ code: 'PINS_LEFT', text });
    }
  }

  const current = currentSession(entries, session, env);
  const keys =
    session.kind === 'all' ? sessions.filter((key) => key.startsWith(`agent:${group.agent}:`)) : [];
  if (current.key !== null) {
    keys.push(
      current.key,
      ...companionsOf(current.key, entries, { slotProfileId: profileId, provider, knownProfileIds: known }),
    );
  }
  const wanted = [...new Set(keys)];
  const pinOf = new Map(entries.map((entry) => [entry.key, entry]));
  return {
    current,
    planned: wanted.map((key) => {
      const was = pinOf.get(key)?.pinnedTo ?? null;
      return { key, was, is: profileId, result: was === profileId ? 'already' : 'set' };
    }),
    affects: { agents: switched ? group.follows : [], sessions },
    notes,
    carryOut: async () => (wanted.length === 0 ? [] : pending(await pins.set(wanted, profileId), env)),
  };
}

/**
 * Inside a command that OpenClaw's agent runs, the end of that very run can write the session's old pin back (facts:
 * `updateSessionStoreAfterAgentRun`, 3.28 to 5.7), so a pin is not called set before the run has ended.
 */
function pending(outcomes: readonly PinOutcome[], env: Env): readonly PinOutcome[] {
  if (env.OPENCLAW_SHELL !== 'exec') return outcomes;
  return outcomes.map((outcome) => (outcome.result === 'set' ? { ...outcome, result: 'pending' } : outcome));
}
