import { RouterError } from '../errors.js';
import type { Env } from '../os/folders.js';
import { isOpen, type Journal, type PinChange, type SwitchStep } from '../repo/journal.js';
import type { ChoiceRecord } from '../repo/journal-choices.js';
import type { Host, HostNote } from '../slot/host.js';
import type { PinOutcome, SessionEntry } from '../slot/pins.js';
import { canonicalKey } from '../slot/session.js';
import { keepPins } from './pins.js';
import { loginPlaces } from './session-scene.js';
import { turnsSlot } from './turns-slot.js';

export interface ChoiceDeps {
  readonly host: Host;
  readonly journal: Journal;
  readonly env: Env;
  /** ms epoch */
  readonly now: () => number;
  critical<T>(work: () => Promise<T>): Promise<T>;
}

export interface PinsChosen {
  readonly outcomes: readonly PinOutcome[];
  readonly notes: readonly HostNote[];
}

/**
 * Pins entries of one agent as a person chose, and remembers it: no undo of an earlier switch takes it back, and where a running turn
 * writes over it, the next command sets it again. Under the router lock, on a host that is ours.
 * @param is null: takes the pins off
 * @throws what `Pins.set` throws: nothing was written then, and nothing is remembered
 */
export async function choosePins(
  deps: ChoiceDeps,
  agent: string,
  planned: readonly PinOutcome[],
  is: string | null,
): Promise<PinsChosen> {
  const { host, journal, now } = deps;
  const pins = planned.map(({ key, was }) => ({ agent, key, was }));
  const isNews = planned.some(({ result }) => result !== 'already') || (await isNamed(deps, pins));
  if (!isNews) return { outcomes: planned, notes: [] };
  const id = await journal.choose({ host: host.summary.stateDir, is, pins }, now());
  try {
    const { outcomes, notes, ended } = await setPins(deps, agent, pins, is);
    await journal.advance(id, ended, now());
    return { outcomes, notes };
  } catch (error) {
    await journal.advance(id, 'abandoned', now());
    throw error;
  }
}

/** Whether something that was written down before would take one of these pins back, or set it again. */
async function isNamed({ host, journal }: ChoiceDeps, pins: readonly PinChange[]): Promise<boolean> {
  const { stateDir } = host.summary;
  const records = (await journal.read()).filter(({ slot }) => slot.startsWith(`${stateDir}#`));
  const choices = (await journal.choices()).filter((one) => one.host === stateDir && isOpen(one.step));
  const named = [...records, ...choices].flatMap((one) => one.pins);
  return named.some((one) => pins.some(({ agent, key }) => one.agent === agent && isSame(one.key, key)));
}

/** Whether a person chose, without a switch, what the session is pinned to; a later switch that set its pin counts over it. */
export async function isChosenPin(
  { host, journal }: { readonly host: Host; readonly journal: Pick<Journal, 'choices'> },
  agent: string,
  entry: SessionEntry | null,
): Promise<boolean> {
  if (entry === null || entry.pinnedTo === null || entry.pinSource === 'auto') return false;
  const last = (await journal.choices()).findLast(
    (one) =>
      one.host === host.summary.stateDir &&
      one.step !== 'abandoned' &&
      one.pins.some((pin) => pin.agent === agent && isSame(pin.key, entry.key)),
  );
  return last?.is === entry.pinnedTo;
}

interface PinsSet extends PinsChosen {
  readonly ended: Exclude<SwitchStep, 'begun'>;
}

async function setPins(
  { host, env, critical }: ChoiceDeps,
  agent: string,
  wanted: readonly PinChange[],
  is: string | null,
): Promise<PinsSet> {
  const pins = host.pinsOf(agent);
  const running = await host.activeRuns(agent);
  const keys = wanted.map(({ key }) => key);
  const set = await critical(() => pins.set(keys, is));
  const { outcomes, notes } = await keepPins(
    { pins, outcomes: set, notes: [], failed: false },
    is,
    env,
    running,
  );
  const busy = outcomes.filter(({ key, result }) => result !== 'gone' && running?.has(canonicalKey(key)));
  const mayChange =
    running === null || busy.length > 0 || outcomes.some(({ result }) => result === 'pending');
  return { outcomes, notes: [...notes, ...turnNotes(busy)], ended: mayChange ? 'applied' : 'done' };
}

function turnNotes(busy: readonly PinOutcome[]): readonly HostNote[] {
  if (busy.length === 0) return [];
  const where = busy.map(({ key }) => key).join(', ');
  const text = `a turn is running in ${where} and may write the old pin back when it ends: codex-router sync --wait sets it again then`;
  return [{ code: 'TURN_RUNNING', text }];
}

/**
 * Ends the choices of pins that a crash left half written, or that a running turn may have written over: what is pinned as it was before
 * is pinned as chosen. Says each that was not; what cannot be mended now is a note and stays open. Called without any lock.
 */
export async function recoverChoices(
  deps: ChoiceDeps & { withLock<T>(work: () => Promise<T>): Promise<T> },
): Promise<readonly HostNote[]> {
  const notes: HostNote[] = [];
  for (const { id, pins } of await openChoices(deps)) {
    try {
      await deps.withLock(async () => {
        const choice = (await openChoices(deps)).find((one) => one.id === id);
        if (choice !== undefined) notes.push(...(await recoverOne(deps, choice)));
      });
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
      const text = `the pin that was chosen for ${pins[0]?.key} could not be looked after: ${error.message}`;
      notes.push({ code: error.code, text });
    }
  }
  return notes;
}

async function openChoices({ host, journal }: ChoiceDeps): Promise<readonly ChoiceRecord[]> {
  const { stateDir } = host.summary;
  const all = await journal.choices();
  return all.filter((one) => one.host === stateDir && isOpen(one.step) && one.pins.length > 0);
}

/** ms: as long as `sync --wait` waits; where it cannot be told whether a turn runs, none that did is still on its way then. */
export const LONGEST_TURN = 600_000;

async function recoverOne(deps: ChoiceDeps, choice: ChoiceRecord): Promise<readonly HostNote[]> {
  const { host, journal, now } = deps;
  const { id, is, pins, step, at } = choice;
  const notes: HostNote[] = [];
  let ended: PinsSet['ended'] = 'done';
  for (const agent of new Set(pins.map((pin) => pin.agent))) {
    const own = pins.filter((pin) => pin.agent === agent);
    const pinnedTo = new Map((await host.pinsOf(agent).read()).map((entry) => [entry.key, entry.pinnedTo]));
    // One that is something else by now was chosen since.
    const lost = own.filter(({ key, was }) => was !== is && pinnedTo.get(key) === was);
    if (lost.length === 0) {
      const running = await host.activeRuns(agent);
      const mayChange =
        running === null ? now() - at < LONGEST_TURN : own.some(({ key }) => running.has(canonicalKey(key)));
      if (mayChange) ended = 'applied';
      continue;
    }
    const where = lost.map(({ key }) => key).join(', ');
    if (is !== null && !(await isThere(host, agent, is))) {
      notes.push({
        code: 'PINS_LEFT',
        text: `${where} was to be pinned to ${is}, which is gone, and was left`,
      });
      continue;
    }
    const set = await setPins(deps, agent, lost, is);
    if (set.ended === 'applied') ended = 'applied';
    const how = is === null ? 'taken off' : 'set';
    const text =
      step === 'begun'
        ? `the pin of ${where} was to be ${how} by a command that was interrupted: it is ${how} now`
        : `OpenClaw had written over the pin of ${where}: it is ${how} again`;
    notes.push({ code: step === 'begun' ? 'FINISHED' : 'PINS_REPAIRED', text }, ...set.notes);
  }
  if (ended !== step) await journal.advance(id, ended, now());
  return notes;
}

async function isThere(host: Host, agent: string, profileId: string): Promise<boolean> {
  const places = await loginPlaces(host, agent, await turnsSlot(host, agent), null);
  return places.some((place) => place.profileId === profileId && place.problem === null);
}

function isSame(a: string, b: string): boolean {
  return canonicalKey(a) === canonicalKey(b);
}
