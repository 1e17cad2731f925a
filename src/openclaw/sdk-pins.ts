import { isObject } from '../json.js';
import type { PinOutcome, Pins, SessionEntry } from '../slot/pins.js';
import { agentOf, canonicalKey } from '../slot/session.js';
import type { Sdk } from './sdk.js';
import { unexpected } from './sdk-slot.js';
import { parseSessionEntry } from './session-entry.js';

export interface SdkPinsPlace {
  readonly agent: string;
  readonly sdk: Sdk;
}

/** The sessions of one agent, through the SDK of the installed release (from 5.12). */
export function sdkPins({ agent, sdk }: SdkPinsPlace): Pins {
  const read = async (): Promise<readonly SessionEntry[]> => {
    const answer = await sdk.ask({ op: 'sessions', agent }, 'HOST_UNREADABLE');
    if (answer.stage !== 'sessions' || !Array.isArray(answer.entries)) throw unexpected(sdk);
    return answer.entries
      .filter(({ key }) => (agentOf(key) ?? agent) === agent)
      .map(({ key, entry }) => parseSessionEntry(key, isObject(entry) ? entry : {}));
  };
  return {
    agent,
    read,
    survey: async () => ({ entries: await read(), unread: 0 }),
    set: async (keys, profileId) => {
      if (keys.length === 0) return [];
      const names = new Map((await read()).map(({ key }) => [canonicalKey(key), key]));
      const present = keys.flatMap((key) => names.get(canonicalKey(key)) ?? []);
      const outcomes = await pinThem(sdk, agent, present, profileId);
      return keys.map((key): PinOutcome => {
        const found = outcomes.find((outcome) => canonicalKey(outcome.key) === canonicalKey(key));
        return found === undefined ? { key, was: null, is: null, result: 'gone' } : { ...found, key };
      });
    },
  };
}

/** Only entries that are there: the SDK of some releases makes the one it is asked to patch. */
async function pinThem(
  sdk: Sdk,
  agent: string,
  keys: readonly string[],
  profileId: string | null,
): Promise<readonly PinOutcome[]> {
  if (keys.length === 0) return [];
  const answer = await sdk.ask({ op: 'pin', agent, keys, profileId }, 'HOST_UNREADABLE');
  if (answer.stage !== 'pinned' || !Array.isArray(answer.outcomes)) throw unexpected(sdk);
  return answer.outcomes;
}
