import { sameIdentity } from '../identity.js';
import type { IndexEntry, OpenRepo, Placement } from '../repo/repo.js';
import type { Host, HostNote } from '../slot/host.js';
import { isOwnSlot } from '../slot/own-slot.js';
import { type CustodyDeps, holderOf, readOrNote } from './custody.js';
import { leaveCommand } from './every-slot.js';
import { handedOver, unlendCommand } from './lent.js';
import { loginsIn, neighbourId } from './places.js';
import { selectorOf } from './resolve.js';

/** Where the grant lies that a newer login is about to take the place of. */
export interface FormerPlace {
  /**
   * `parked`: nowhere but here. `slot`: in a slot of this OpenClaw, or beside it. `elsewhere`: in another OpenClaw. `codex`: in a
   * Codex home, shared or lent. `unknown`: where it was last put cannot be read now.
   */
  readonly place: 'parked' | 'slot' | 'elsewhere' | 'codex' | 'unknown';
  /** Given where a slot holds it: what the index is to remember. */
  readonly placement: Placement | null;
  /** Who runs on it and what ends that, completing a sentence; null when it is parked. */
  readonly text: string | null;
  /** What could not be looked into. */
  readonly notes: readonly HostNote[];
}

export interface FormerPlaceDeps extends CustodyDeps {
  readonly host: Host | null;
  readonly now: () => number;
}

/** Looks for whoever runs on the stored grant of `entry`. Only looks, waits for nobody; what cannot be read is noted. */
export async function formerPlace(
  deps: FormerPlaceDeps,
  repo: OpenRepo,
  entry: IndexEntry,
): Promise<FormerPlace> {
  const notes: HostNote[] = [];
  const found = await inSlots(deps, repo, entry, notes);
  if (found !== null) return { ...found, notes };
  const lent = lentText(entry);
  if (lent !== null) return { place: 'codex', placement: null, text: lent, notes };
  const { host } = deps;
  const custody = await readOrNote(
    () => holderOf({ entry, fingerprint: entry.fingerprint }, repo, host, null, deps),
    'who else holds it',
    notes,
  );
  if (custody === null) return { place: 'unknown', placement: null, text: null, notes };
  notes.push(...custody.notes.filter(({ text }) => notes.every((note) => note.text !== text)));
  const { holder } = custody;
  if (holder === null) return { place: 'parked', placement: null, text: null, notes };
  if (holder.kind === 'outside') {
    const text = `${holder.name} keeps the old one and is not disturbed: nobody shares the new one`;
    return { place: 'codex', placement: null, text, notes };
  }
  const place = holder.kind === 'unknown' ? 'unknown' : 'elsewhere';
  return { place, placement: null, text: `${holder.name} runs on the old one: ${holder.remedy}`, notes };
}

/** Null when it is not lent, or another login than the stored one was. */
function lentText(entry: IndexEntry): string | null {
  const { lent } = entry;
  if (lent === null || (lent.what === 'grant' && handedOver(entry) === null)) return null;
  const has = lent.what === 'grant' ? 'has the old login' : 'has an access token of the old login';
  return `the Codex CLI in ${lent.folder} ${has} until ${unlendCommand(entry)}`;
}

/** Any login of this identity in a slot of this host: OpenClaw may have rotated it since we put it there. */
async function inSlots(
  { host, now }: FormerPlaceDeps,
  repo: OpenRepo,
  entry: IndexEntry,
  notes: HostNote[],
): Promise<Omit<FormerPlace, 'notes'> | null> {
  if (host === null) return null;
  const { identity, placement } = entry;
  const places: {
    readonly id: string;
    readonly agent: string;
    readonly profileId: string;
    readonly print: Placement['fingerprint'] | null;
  }[] = [];
  for (const slot of (await readOrNote(() => host.allSlots(), 'OpenClaw', notes)) ?? []) {
    const { agent, id } = slot.address;
    const reading = await readOrNote(() => slot.read(), `agent ${agent}`, notes);
    if (reading === null) continue;
    const { occupant } = reading;
    // Whose token it is that is being refreshed is told by its account only.
    if (occupant.kind === 'refreshing' && occupant.accountId === identity.accountId)
      places.push({ id, agent, profileId: slot.address.profileId, print: null });
    for (const { login, profileId } of loginsIn(slot, reading)) {
      if (!sameIdentity(login.identity, identity)) continue;
      const print = repo.fingerprint(login.grant);
      places.push({ id: neighbourId(slot.address, profileId), agent, profileId, print });
    }
  }
  const [first] = places;
  if (first === undefined) return null;
  const isKnown = places.some(({ id }) => id === placement?.slot);
  const found = { slot: first.id, fingerprint: first.print, at: now() };
  const { fingerprint } = found;
  return {
    place: 'slot',
    placement: isKnown || fingerprint === null ? null : { ...found, fingerprint },
    text: isOwnSlot(first.profileId)
      ? `${first.profileId} of OpenClaw's agent ${first.agent} runs on the old one until ${await leaveCommand(host, first.profileId)}`
      : `OpenClaw's agent ${first.agent} runs on the old one until codex-router use ${selectorOf(entry)} --agent ${first.agent}`,
  };
}
