import type { Holding } from '../holding.js';
import { identityKey } from '../identity.js';
import type { Fingerprint, IndexEntry } from '../repo/repo.js';
import type { Host } from '../slot/host.js';
import type { Finding } from './finding.js';
import { handedOver } from './lent.js';
import { nameOf, selectorOf } from './resolve.js';

/** What is in one place: a profile of a store, or an outside holder. */
export interface Place {
  readonly name: string;
  /** Places that a release, or a switch, keeps alike have one key: they are one holder. */
  readonly holder: string;
  /** The agent of this host whose slot it is in; null elsewhere. */
  readonly agent: string | null;
  readonly isOutside: boolean;
  readonly print: Fingerprint;
  readonly login: Holding;
}

/** One login that several holders have: who refreshes it first shuts the others out. */
export function duplicates(
  places: readonly Place[],
  entries: readonly IndexEntry[],
  host: Host | null,
): Finding[] {
  const byPrint = grouped(places);
  return [...byPrint].flatMap(([print, same]): Finding[] => {
    if (new Set(same.map(({ holder }) => holder)).size < 2) return [];
    const entry = entries.find(({ fingerprint }) => fingerprint === print);
    const who = entry === undefined ? nameIn(same[0]?.login) : nameOf(entry);
    const text = `the login of ${who} lies in ${same.map(({ name }) => name).join(' and in ')}: the first to refresh it shuts the others out`;
    const agent = same.find((place) => place.agent !== null)?.agent ?? null;
    const named = agent === null || agent === host?.defaultAgent ? '' : ` --agent ${agent}`;
    const remedy =
      entry === undefined
        ? 'codex-router import --from openclaw'
        : `codex-router use ${selectorOf(entry)}${named} --move`;
    return [{ code: 'GRANT_DUPLICATE', part: 'custody', danger: true, text, remedy, mend: null }];
  });
}

function grouped(places: readonly Place[]): Map<Fingerprint, Place[]> {
  const groups = new Map<Fingerprint, Place[]>();
  for (const place of places) groups.set(place.print, [...(groups.get(place.print) ?? []), place]);
  return groups;
}

/** A stored login that only somebody outside uses: no danger by itself, but it cannot be routed. */
export function outsideOnly(places: readonly Place[], entries: readonly IndexEntry[]): Finding[] {
  return places.flatMap((place): Finding[] => {
    if (!place.isOutside) return [];
    const entry = entries.find(({ fingerprint }) => fingerprint === place.print);
    const others = places.filter(({ print, holder }) => print === place.print && holder !== place.holder);
    if (entry === undefined || others.length > 0 || handedOver(entry) !== null) return [];
    const text = `${place.name} holds the login of ${nameOf(entry)} too, so it cannot be routed, and the next codex login ends it`;
    const remedy = 'codex-router import --take';
    return [{ code: 'HELD_OUTSIDE', part: 'custody', danger: false, text, remedy, mend: null }];
  });
}

/** Two identities that are stored with one login. */
export function storedTwice(entries: readonly IndexEntry[]): Finding[] {
  return entries.flatMap((entry, place): Finding[] => {
    const other = entries.slice(0, place).find(({ fingerprint }) => fingerprint === entry.fingerprint);
    if (other === undefined) return [];
    const text = `${nameOf(other)} and ${nameOf(entry)} are stored with one and the same login`;
    const remedy = `codex-router remove ${selectorOf(entry)}`;
    return [{ code: 'STORED_TWICE', part: 'custody', danger: true, text, remedy, mend: null }];
  });
}

function nameIn(login: Holding | undefined): string {
  return login === undefined ? 'somebody' : (login.identity.email ?? identityKey(login.identity));
}
