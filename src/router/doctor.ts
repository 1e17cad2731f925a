import { RouterError } from '../errors.js';
import type { Holding } from '../holding.js';
import { identityKey } from '../identity.js';
import type { Journal } from '../repo/journal.js';
import type { Fingerprint, IndexEntry, OpenRepo } from '../repo/repo.js';
import type { Host } from '../slot/host.js';
import type { Slot } from '../slot/slot.js';
import type { CustodyDeps } from './custody.js';
import { doubtFindings } from './doubt-findings.js';
import type { CodexHomes } from './lend-source.js';
import { handedOver } from './lent.js';
import { lentFindings } from './lent-findings.js';
import { readOwnership } from './owner.js';
import { loginsIn, parsePlace } from './places.js';
import { nameOf, selectorOf } from './resolve.js';
import { spentIn } from './spent.js';

export interface DoctorDeps extends CustodyDeps {
  /** Null when there is no OpenClaw here. */
  readonly host: Host | null;
  readonly journal: Pick<Journal, 'read' | 'damaged'>;
  /** The Codex homes that something was lent to. */
  readonly homes: CodexHomes;
  /** ms epoch */
  readonly now: () => number;
}

/** One thing that is not as it should be. */
export interface Finding {
  readonly code: FindingCode;
  /** Whether a login can be lost or spent twice if nothing is done. */
  readonly danger: boolean;
  /** One sentence. */
  readonly text: string;
  /** The one command that mends it; null where none does, or nothing need be done. */
  readonly remedy: string | null;
}

/** In the order they are shown. */
export const FINDING_CODES = [
  'HOST_OWNED',
  'VAULT_ROLLED_BACK',
  'OWNER_UNREADABLE',
  'GRANT_DUPLICATE',
  'GRANT_SPENT',
  'GRANT_OLDER',
  'STORED_TWICE',
  'HELD_OUTSIDE',
  'HOLDER_UNREADABLE',
  'HOLDER_UNKNOWN',
  'LENT_UNFINISHED',
  'LENT_GONE',
  'LENT_EXPIRED',
  'LOGIN_DOUBTFUL',
  'SWITCH_UNFINISHED',
  'JOURNAL_DAMAGED',
  'NOT_LISTED',
  'ADD_UNFINISHED',
  'LOGIN_LEFT',
] as const;

export type FindingCode = (typeof FINDING_CODES)[number];

/** What is in one place: a profile of a store, or an outside holder. */
interface Place {
  readonly name: string;
  /** Places that a release, or a switch, keeps alike have one key: they are one holder. */
  readonly holder: string;
  /** The agent of this host whose slot it is in; null elsewhere. */
  readonly agent: string | null;
  readonly isOutside: boolean;
  readonly print: Fingerprint;
  readonly login: Holding;
}

/**
 * Looks for what could cost a login: one grant in two places, stored logins in doubt, switches without an end, hosts that are not ours.
 * Reads every slot of this host and of those we know of, and every outside holder; refreshes nothing and writes nothing.
 * @throws what the repo throws; a holder that cannot be read is a finding
 */
export async function examine(deps: DoctorDeps, repo: OpenRepo): Promise<readonly Finding[]> {
  const entries = await repo.list();
  const findings: Finding[] = [];
  const places: Place[] = [];
  const known = await knownHosts(deps, entries, findings);
  for (const host of known) {
    findings.push(...(await ownerFindings(host, repo, host === deps.host)));
    places.push(...(await placesIn(host, repo, host === deps.host, findings)));
  }
  for (const { name, remedy, read } of deps.outside) {
    const login = await orFinding(read, name, remedy, findings);
    if (login === null) continue;
    const print = repo.fingerprint(login.grant);
    places.push({ name, holder: name, agent: null, isOutside: true, print, login });
  }
  findings.push(...duplicates(places, entries, deps.host), ...outsideOnly(places, entries));
  findings.push(...(await spentIn(places, entries, repo)));
  findings.push(...storedTwice(entries), ...doubtFindings(entries));
  findings.push(...(await lentFindings(deps.homes, entries, deps.now())));
  findings.push(...(await journalFindings(deps, entries)));
  const order = (code: FindingCode) => FINDING_CODES.indexOf(code);
  return findings.sort((a, b) => order(a.code) - order(b.code));
}

/** This host, and every other one that the index or the journal names. */
async function knownHosts(
  { host, hostAt, journal }: DoctorDeps,
  entries: readonly IndexEntry[],
  findings: Finding[],
): Promise<readonly Host[]> {
  const placed = entries.flatMap(({ placement }) => (placement === null ? [] : [placement.slot]));
  const stateDirOf = (slot: string) => parsePlace(slot)?.stateDir ?? null;
  const needed = new Set(placed.map(stateDirOf));
  const seen = new Set([...needed, ...(await journal.read()).map(({ slot }) => stateDirOf(slot))]);
  const hosts = host === null ? [] : [host];
  for (const stateDir of seen) {
    if (stateDir === null || stateDir === host?.summary.stateDir) continue;
    try {
      hosts.push(await hostAt(stateDir));
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
      // One that was switched once and is gone holds nothing; one that a login was left in may have been moved.
      if (!needed.has(stateDir)) continue;
      const whose = entries.filter(({ placement }) => stateDirOf(placement?.slot ?? '') === stateDir);
      const text = `${whose.map(nameOf).join(', ')} was last put into the OpenClaw in ${stateDir}, which cannot be read: ${error.message}`;
      findings.push({
        code: 'HOLDER_UNKNOWN',
        danger: false,
        text,
        remedy: `codex-router host --state-dir ${stateDir}`,
      });
    }
  }
  return hosts;
}

async function ownerFindings(host: Host, repo: OpenRepo, isThis: boolean): Promise<readonly Finding[]> {
  const { stateDir } = host.summary;
  const remedy = `codex-router host adopt${isThis ? '' : ` --state-dir ${stateDir}`}`;
  try {
    const { refusal } = await readOwnership(host, repo);
    if (refusal === null) return [];
    const code = refusal.code === 'HOST_OWNED' ? 'HOST_OWNED' : 'VAULT_ROLLED_BACK';
    return [{ code, danger: true, text: `${stateDir}: ${refusal.message}`, remedy }];
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    return [{ code: 'OWNER_UNREADABLE', danger: true, text: error.message, remedy }];
  }
}

async function placesIn(
  host: Host,
  repo: OpenRepo,
  isThis: boolean,
  findings: Finding[],
): Promise<readonly Place[]> {
  const { stateDir } = host.summary;
  const kept = await keptAlike(host);
  const places: Place[] = [];
  for (const slot of await host.allSlots()) {
    const { agent, profileId: own, id } = slot.address;
    const where = isThis ? `OpenClaw's agent ${agent}` : `agent ${agent} of the OpenClaw in ${stateDir}`;
    const remedy = `codex-router host${isThis ? '' : ` --state-dir ${stateDir}`}`;
    const reading = await orFinding(() => slot.read(), where, remedy, findings);
    if (reading === null) continue;
    for (const { login, profileId } of loginsIn(slot, reading)) {
      const isOwn = profileId === own;
      places.push({
        name: isOwn ? where : `${where} (${profileId})`,
        holder: isOwn ? (kept.get(id) ?? id) : `${id} ${profileId}`,
        agent: isThis ? agent : null,
        isOutside: false,
        print: repo.fingerprint(login.grant),
        login,
      });
    }
  }
  return places;
}

/** The main slot of each slot that is switched together with it. */
async function keptAlike(host: Host): Promise<ReadonlyMap<string, string>> {
  const kept = new Map<string, string>();
  const join = (one: Slot, other: Slot) => {
    const [from, to] = [rootOf(kept, one.address.id), rootOf(kept, other.address.id)];
    if (from !== to) kept.set(from, to);
  };
  for (const agent of host.agents) {
    try {
      const { main, copies } = await host.slotsFor(agent);
      for (const copy of copies) join(copy, main);
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
    }
  }
  return new Map([...kept.keys()].map((id) => [id, rootOf(kept, id)]));
}

function rootOf(kept: ReadonlyMap<string, string>, id: string): string {
  const next = kept.get(id);
  return next === undefined ? id : rootOf(kept, next);
}

function duplicates(places: readonly Place[], entries: readonly IndexEntry[], host: Host | null): Finding[] {
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
    return [{ code: 'GRANT_DUPLICATE', danger: true, text, remedy }];
  });
}

function grouped(places: readonly Place[]): Map<Fingerprint, Place[]> {
  const groups = new Map<Fingerprint, Place[]>();
  for (const place of places) groups.set(place.print, [...(groups.get(place.print) ?? []), place]);
  return groups;
}

/** A stored login that only somebody outside uses: no danger by itself, but it cannot be routed. */
function outsideOnly(places: readonly Place[], entries: readonly IndexEntry[]): Finding[] {
  return places.flatMap((place): Finding[] => {
    if (!place.isOutside) return [];
    const entry = entries.find(({ fingerprint }) => fingerprint === place.print);
    const others = places.filter(({ print, holder }) => print === place.print && holder !== place.holder);
    if (entry === undefined || others.length > 0 || handedOver(entry) !== null) return [];
    const text = `${place.name} holds the login of ${nameOf(entry)} too, so it cannot be routed, and the next codex login ends it`;
    const remedy = 'codex-router import --take';
    return [{ code: 'HELD_OUTSIDE', danger: false, text, remedy }];
  });
}

function storedTwice(entries: readonly IndexEntry[]): Finding[] {
  return entries.flatMap((entry, place): Finding[] => {
    const other = entries.slice(0, place).find(({ fingerprint }) => fingerprint === entry.fingerprint);
    if (other === undefined) return [];
    const text = `${nameOf(other)} and ${nameOf(entry)} are stored with one and the same login`;
    return [{ code: 'STORED_TWICE', danger: true, text, remedy: `codex-router remove ${selectorOf(entry)}` }];
  });
}

async function journalFindings(
  { journal }: DoctorDeps,
  entries: readonly IndexEntry[],
): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  const last = new Map((await journal.read()).map((record) => [record.slot, record]));
  for (const { slot, step, to } of last.values()) {
    if (step === 'done' || step === 'abandoned') continue;
    const entry = entries.find(({ identity }) => to !== null && identityKey(identity) === identityKey(to));
    const who = entry === undefined ? (to?.accountId ?? 'nobody') : nameOf(entry);
    const stateDir = parsePlace(slot)?.stateDir ?? null;
    const text = `the switch to ${who} in ${stateDir ?? slot} never came to its end`;
    const remedy = stateDir === null ? 'codex-router sync' : `codex-router sync --state-dir ${stateDir}`;
    findings.push({ code: 'SWITCH_UNFINISHED', danger: false, text, remedy });
  }
  const damaged = await journal.damaged();
  if (damaged > 0) {
    const text = `${damaged} line(s) of the journal cannot be read and are left out; what the slots hold is not decided by it`;
    findings.push({ code: 'JOURNAL_DAMAGED', danger: false, text, remedy: null });
  }
  return findings;
}

async function orFinding<T>(
  read: () => Promise<T>,
  name: string,
  remedy: string,
  findings: Finding[],
): Promise<T | null> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    const text = `${name} could not be read, so what it holds is unknown: ${error.message}`;
    findings.push({ code: 'HOLDER_UNREADABLE', danger: false, text, remedy });
    return null;
  }
}

function nameIn(login: Holding | undefined): string {
  return login === undefined ? 'somebody' : (login.identity.email ?? identityKey(login.identity));
}
