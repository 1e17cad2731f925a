import { RouterError } from '../errors.js';
import { isOfProvider } from '../slot/companions.js';
import type { HostNote } from '../slot/host.js';
import type { PinOutcome, SessionEntry } from '../slot/pins.js';
import { canonicalKey } from '../slot/session.js';
import type { Finding, KeepBefore, Mend } from './finding.js';
import { type HostScene, type SlotSeen, sceneOfHost } from './host-scene.js';
import type { SlotMendDeps } from './mend-slot.js';
import { claimHost } from './owner.js';

/**
 * Sessions that a person pinned to a profile of the provider that no store has any more, counted by agent. Their turns fall silently to
 * another login, or do not run, as the release has it. Pins of other providers, a person's own (`personal:*`), and what OpenClaw chose
 * itself and chooses again are left.
 */
export async function pinFindings(deps: SlotMendDeps, scene: HostScene): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for (const agent of scene.host.agents) {
    const keys = await orUnread(() => orphansOf(scene, agent));
    if (keys instanceof RouterError) findings.push(unread(agent, keys));
    if (keys === null || keys instanceof RouterError || keys.length === 0) continue;
    const seen = slotOf(scene, agent);
    const isThere = seen?.reading.occupant.kind === 'login';
    const count = keys.length === 1 ? 'one session' : `${keys.length} sessions`;
    findings.push({
      code: 'PIN_ORPHANED',
      part: 'pin',
      danger: false,
      text: `${count} of agent ${agent} ${keys.length === 1 ? 'is' : 'are'} pinned to a login that is not there any more${isThere ? '' : ', and the slot is empty'}`,
      remedy:
        isThere && seen.isRouted
          ? 'codex-router doctor --fix'
          : 'codex-router use <accountId> --all-sessions',
      mend: isThere && seen.isRouted ? pinning(deps, agent) : null,
    });
  }
  return findings;
}

/** The slot that the agent's turns run on. */
function slotOf({ slots, main }: HostScene, agent: string): SlotSeen | null {
  const own = slots.find(({ slot }) => slot.address.agent === agent);
  return own !== undefined && own.reading.occupant.kind !== 'absent' ? own : main;
}

async function orUnread<T>(look: () => Promise<T>): Promise<T | RouterError> {
  try {
    return await look();
  } catch (error) {
    if (error instanceof RouterError) return error;
    throw error;
  }
}

function unread(agent: string, { message, hint }: RouterError): Finding {
  const text = `the sessions of agent ${agent} cannot be read, so what they are pinned to is not known: ${message}`;
  return { code: 'NOT_LOOKED_AT', part: 'pin', danger: false, text, remedy: hint ?? null, mend: null };
}

/** Null where a store of logins cannot be read, which other commands say. @throws what `Pins.read` throws */
async function orphansOf(scene: HostScene, agent: string): Promise<readonly string[] | null> {
  // Without every store an id could lie in the one that was not read.
  if (scene.main === null) return null;
  const known = knownIds(scene, agent);
  const isOrphan = ({ pinnedTo, pinSource }: SessionEntry) =>
    pinnedTo !== null &&
    pinSource !== 'auto' &&
    isOfProvider(pinnedTo, scene.host.summary) &&
    !known.has(pinnedTo);
  return (await scene.host.pinsOf(agent).read()).filter(isOrphan).map(({ key }) => key);
}

function knownIds({ slots, main }: HostScene, agent: string): ReadonlySet<string> {
  const seen = slots.filter((one) => one === main || one.slot.address.agent === agent);
  return new Set(
    seen.flatMap(({ slot, reading }) => [
      ...(reading.occupant.kind === 'absent' ? [] : [slot.address.profileId]),
      ...reading.neighbours.map(({ profileId }) => profileId),
    ]),
  );
}

function pinning(deps: SlotMendDeps, agent: string): Mend {
  const { opening, withLock, host, journal } = deps;
  return {
    does: `pin those sessions of agent ${agent} to the slot`,
    carryOut: async (keep) => {
      const repo = await opening;
      return await withLock(async () => {
        const scene = await sceneOfHost(host, journal);
        const seen = slotOf(scene, agent);
        const found = (await orphansOf(scene, agent)) ?? [];
        // A login may have come, or the slot been emptied, since it was looked at.
        if (seen?.reading.occupant.kind !== 'login' || found.length === 0) throw changed(agent);
        const running = (await host.activeRuns(agent)) ?? new Set<string>();
        const keys = found.filter((key) => !running.has(canonicalKey(key)));
        if (keys.length === 0) throw inTurns(agent);
        await claimHost(host, repo, deps.now());
        const { profileId } = seen.slot.address;
        const { outcomes, kept } = await pinned(deps, agent, keys, profileId, keep);
        const done = outcomes.filter(({ result }) => result === 'set' || result === 'already').length;
        if (done === 0) throw inTurns(agent);
        const pending = outcomes.filter(({ result }) => result === 'pending').length;
        return {
          text: `${done} session(s) of agent ${agent} are pinned to the slot now`,
          undo: `codex-router doctor --undo ${kept}`,
          notes: notesOf(agent, pending + found.length - keys.length),
        };
      });
    },
  };
}

async function pinned(
  { host, critical }: SlotMendDeps,
  agent: string,
  keys: readonly string[],
  profileId: string,
  keep: KeepBefore,
): Promise<{ readonly outcomes: readonly PinOutcome[]; readonly kept: string }> {
  const pins = host.pinsOf(agent);
  const was = new Map((await pins.read()).map(({ key, pinnedTo }) => [key, pinnedTo]));
  const before = keys.map((key) => ({ key, was: was.get(key) ?? null, is: profileId }));
  const kept = await keep({ kind: 'pins', agent, pins: before });
  const set = await critical(() => pins.set(keys, profileId));
  return { outcomes: (await pins.keep?.(set, profileId)) ?? set, kept };
}

function notesOf(agent: string, left: number): readonly HostNote[] {
  if (left === 0) return [];
  const text = `${left} session(s) of agent ${agent} are in a turn and were left for later: codex-router doctor --fix again when it has ended`;
  return [{ code: 'PINS_LEFT', text }];
}

function changed(agent: string): RouterError {
  return new RouterError(
    'SLOT_CHANGED',
    `the pins or the slot of agent ${agent} are not as they were found any more`,
    {
      hint: 'codex-router doctor looks again; nothing was changed',
    },
  );
}

function inTurns(agent: string): RouterError {
  return new RouterError(
    'HOST_BUSY',
    `every such session of agent ${agent} is in a turn, or has just changed`,
    {
      hint: 'run the command again when the turn has ended; nothing was changed',
    },
  );
}
