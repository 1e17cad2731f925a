import type { PinChange, SwitchRecord, SwitchStep } from './journal.js';

/** Pins that a person chose by themselves, without a switch. */
export interface ChoiceIntent {
  /** `HostSummary.stateDir` */
  readonly host: string;
  /** What the sessions are pinned to from now on; null: to nothing. */
  readonly is: string | null;
  readonly pins: readonly PinChange[];
}

export interface ChoiceRecord extends ChoiceIntent {
  readonly id: string;
  /** ms epoch of the latest line. */
  readonly at: number;
  /** Never `swapped`. */
  readonly step: SwitchStep;
}

/** One thing that was written down, in the order in which each was begun. */
export type Written =
  | { readonly kind: 'switch'; readonly record: SwitchRecord }
  | { readonly kind: 'choice'; readonly record: ChoiceRecord };

/**
 * What counts of all that was written. The pin of a session is its latest choice's: no switch before that takes it back or sets it
 * again. A later switch, or choice, that sets the pin takes it out of the choice. What was abandoned was never made.
 */
export function whatCounts(all: readonly Written[]): {
  readonly switches: readonly SwitchRecord[];
  readonly choices: readonly ChoiceRecord[];
} {
  const switches: SwitchRecord[] = [];
  const choices: ChoiceRecord[] = [];
  const chosenLater = new Map<string, Set<string>>();
  const setLater = new Map<string, Set<string>>();
  for (const one of [...all].reverse()) {
    const { record } = one;
    const isMade = record.step !== 'abandoned';
    if (one.kind === 'switch') {
      const host = hostOf(one.record.slot);
      const chosen = chosenLater.get(host);
      const { pins } = record;
      const left = chosen === undefined ? pins : pins.filter((pin) => !chosen.has(nameOf(pin)));
      switches.push(left.length === pins.length ? one.record : { ...one.record, pins: left });
      if (isMade) addTo(setLater, host, pins);
    } else {
      const { host, pins } = one.record;
      const set = setLater.get(host);
      const left = set === undefined ? pins : pins.filter((pin) => !set.has(nameOf(pin)));
      choices.push({ ...one.record, pins: left });
      if (!isMade) continue;
      addTo(setLater, host, pins);
      addTo(chosenLater, host, pins);
    }
  }
  return { switches: switches.reverse(), choices: choices.reverse() };
}

/** The state directory of `SlotAddress.id`, which ends in a store and a name. */
function hostOf(slot: string): string {
  return slot.replace(/#[^#]*#[^#]*$/, '');
}

function nameOf({ agent, key }: PinChange): string {
  return JSON.stringify([agent, key.trim().toLowerCase()]);
}

function addTo(names: Map<string, Set<string>>, host: string, pins: readonly PinChange[]): void {
  const known = names.get(host) ?? new Set();
  for (const pin of pins) known.add(nameOf(pin));
  names.set(host, known);
}
