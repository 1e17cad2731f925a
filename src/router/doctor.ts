import { RouterError } from '../errors.js';
import { identityKey } from '../identity.js';
import type { Journal } from '../repo/journal.js';
import type { IndexEntry, OpenRepo } from '../repo/repo.js';
import type { Host } from '../slot/host.js';
import type { Slot } from '../slot/slot.js';
import { shellWord } from '../text.js';
import type { CustodyDeps } from './custody.js';
import { doubtFindings } from './doubt-findings.js';
import type { Finding, Mended } from './finding.js';
import { inOrder } from './finding-codes.js';
import { duplicates, outsideOnly, type Place, storedTwice } from './grant-findings.js';
import type { CodexHomes } from './lend-source.js';
import { lentFindings } from './lent-findings.js';
import { readOwnership } from './owner.js';
import { loginsIn, parsePlace } from './places.js';
import { nameOf } from './resolve.js';
import type { ReadSlot } from './settled.js';
import { spentIn } from './spent.js';

export interface DoctorDeps extends CustodyDeps {
  /** Null when there is no OpenClaw here. */
  readonly host: Host | null;
  readonly journal: Pick<Journal, 'read' | 'damaged'>;
  /** The Codex homes that something was lent to. */
  readonly homes: CodexHomes;
  /** ms epoch */
  readonly now: () => number;
  /** Brings an interrupted switch of this host to its end; left out where nothing is to be mended. */
  readonly finish?: () => Promise<Mended>;
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
  return inOrder(findings);
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
        part: 'custody',
        danger: false,
        text,
        remedy: `codex-router host --state-dir ${shellWord(stateDir)}`,
        mend: null,
      });
    }
  }
  return hosts;
}

async function ownerFindings(host: Host, repo: OpenRepo, isThis: boolean): Promise<readonly Finding[]> {
  const { stateDir } = host.summary;
  const remedy = `codex-router host adopt${isThis ? '' : ` --state-dir ${shellWord(stateDir)}`}`;
  try {
    const { refusal } = await readOwnership(host, repo);
    if (refusal === null) return [];
    const code = refusal.code === 'HOST_OWNED' ? 'HOST_OWNED' : 'VAULT_ROLLED_BACK';
    const text = `${stateDir}: ${refusal.message}`;
    return [{ code, part: 'custody', danger: true, text, remedy, mend: null }];
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    const text = error.message;
    return [{ code: 'OWNER_UNREADABLE', part: 'custody', danger: true, text, remedy, mend: null }];
  }
}

async function placesIn(
  host: Host,
  repo: OpenRepo,
  isThis: boolean,
  findings: Finding[],
): Promise<readonly Place[]> {
  const { stateDir } = host.summary;
  const whereOf = (agent: string) =>
    isThis ? `OpenClaw's agent ${agent}` : `agent ${agent} of the OpenClaw in ${stateDir}`;
  const remedy = `codex-router host${isThis ? '' : ` --state-dir ${shellWord(stateDir)}`}`;
  const read: ReadSlot[] = [];
  for (const slot of await host.allSlots()) {
    const reading = await orFinding(() => slot.read(), whereOf(slot.address.agent), remedy, findings);
    if (reading !== null) read.push({ slot, reading });
  }
  const kept = await keptAlike(host, withOneLogin(read, repo));
  const places: Place[] = [];
  for (const { slot, reading } of read) {
    const { agent, profileId: own, id } = slot.address;
    const where = whereOf(agent);
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

/** The slots that hold a login which lies in another slot too. */
function withOneLogin(read: readonly ReadSlot[], repo: OpenRepo): readonly Slot[] {
  const held = read.flatMap(({ slot, reading: { occupant } }) =>
    occupant.kind === 'login' ? [{ slot, print: repo.fingerprint(occupant.grant) }] : [],
  );
  const counts = new Map<string, number>();
  for (const { print } of held) counts.set(print, (counts.get(print) ?? 0) + 1);
  return held.flatMap(({ slot, print }) => ((counts.get(print) ?? 0) > 1 ? [slot] : []));
}

/** The main slot of each of these that is switched together with it. To ask who is takes a look at every agent: once for each group. */
async function keptAlike(host: Host, slots: readonly Slot[]): Promise<ReadonlyMap<string, string>> {
  const kept = new Map<string, string>();
  const join = (one: Slot, other: Slot) => {
    const [from, to] = [rootOf(kept, one.address.id), rootOf(kept, other.address.id)];
    if (from !== to) kept.set(from, to);
  };
  const asked = new Set<string>();
  for (const { address } of slots) {
    if (asked.has(address.id)) continue;
    try {
      const { main, copies } = await host.slotsFor(address.agent);
      for (const one of [main, ...copies]) asked.add(one.address.id);
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

async function journalFindings(
  { journal, host, finish }: DoctorDeps,
  entries: readonly IndexEntry[],
): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  const last = new Map((await journal.read()).map((record) => [record.slot, record]));
  for (const { slot, step, to } of last.values()) {
    // One that is `applied` is in the slot; what the turn that ran then wrote back is told by the layers.
    if (step !== 'begun' && step !== 'swapped') continue;
    const entry = entries.find(({ identity }) => to !== null && identityKey(identity) === identityKey(to));
    const who = entry === undefined ? (to?.accountId ?? 'nobody') : nameOf(entry);
    const stateDir = parsePlace(slot)?.stateDir ?? null;
    const text = `the switch to ${who} in ${stateDir ?? slot} never came to its end`;
    const remedy =
      stateDir === null ? 'codex-router sync' : `codex-router sync --state-dir ${shellWord(stateDir)}`;
    const isHere = finish !== undefined && stateDir !== null && stateDir === host?.summary.stateDir;
    const mend = isHere
      ? { does: `bring the switch to ${who} to its end, as codex-router sync does`, carryOut: finish }
      : null;
    findings.push({ code: 'SWITCH_UNFINISHED', part: 'choice', danger: false, text, remedy, mend });
  }
  const damaged = await journal.damaged();
  if (damaged > 0) {
    const text = `${damaged} line(s) of the journal cannot be read and are left out; what the slots hold is not decided by it`;
    findings.push({
      code: 'JOURNAL_DAMAGED',
      part: 'leftover',
      danger: false,
      text,
      remedy: null,
      mend: null,
    });
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
    findings.push({ code: 'HOLDER_UNREADABLE', part: 'custody', danger: false, text, remedy, mend: null });
    return null;
  }
}
