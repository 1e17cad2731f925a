import { RouterError } from '../errors.js';
import type { Holding } from '../holding.js';
import type { RepoView } from '../repo/repo.js';
import type { Host } from '../slot/host.js';
import { problemOf, type Slot } from '../slot/slot.js';
import type { Skipped } from './import-source.js';
import type { Candidate } from './import-step.js';
import { neighbourId } from './places.js';

export interface Found {
  readonly candidates: readonly Candidate[];
  /** What is there and cannot be imported. */
  readonly skipped: readonly Skipped[];
}

/**
 * The logins of every slot of every agent, and of the other profiles beside it. Reads only. One grant in several places
 * (releases copy the main agent's to others) is one candidate, placed where it was met first.
 */
export async function findInHost(
  host: Host,
  fingerprint: RepoView['fingerprint'],
  now: number,
): Promise<Found> {
  const candidates: Candidate[] = [];
  const skipped: Skipped[] = [];
  const found = (holding: Holding, slot: Slot, profileId: string): void => {
    const print = fingerprint(holding.grant);
    candidates.push({
      holding,
      fingerprint: print,
      from: placeOf(slot, profileId),
      source: 'openclaw',
      sharedWith: undefined,
      placement: { slot: neighbourId(slot.address, profileId), fingerprint: print, at: now },
    });
  };
  for (const slot of await host.allSlots()) {
    const { profileId } = slot.address;
    try {
      const { occupant, neighbours } = await slot.read();
      if (occupant.kind === 'login') found(parts(occupant), slot, profileId);
      else {
        const problem = problemOf(occupant);
        if (problem !== null) skipped.push({ from: placeOf(slot, profileId), reason: `it holds ${problem}` });
      }
      for (const neighbour of neighbours) {
        if (neighbour.kind === 'login') found(parts(neighbour), slot, neighbour.profileId);
        else skipped.push({ from: placeOf(slot, neighbour.profileId), reason: `it holds ${neighbour.what}` });
      }
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
      skipped.push({ from: placeOf(slot, profileId), reason: error.message });
    }
  }
  return { candidates, skipped };
}

function parts({ identity, grant, hostFields, selection }: Holding): Holding {
  return { identity, grant, hostFields, selection };
}

function placeOf({ address }: Slot, profileId: string): string {
  return `OpenClaw ${address.agent}/${profileId}`;
}
