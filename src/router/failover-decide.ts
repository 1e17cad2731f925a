import type { FailoverReason } from '../failover.js';
import { type Identity, type IdentityKey, identityKey, sameIdentity } from '../identity.js';
import type { Journal } from '../repo/journal.js';
import type { IndexEntry } from '../repo/repo.js';
import type { HostNote } from '../slot/host.js';
import { candidatesFor, type Passed } from './failover-candidates.js';
import { freshMemory, noteCurrent, remember } from './failover-memory.js';
import { type Decision, decide, type Memory, type Reading } from './failover-policy.js';
import {
  type Looked,
  lookAt,
  occupantOf,
  parkedStats,
  type ReadingDeps,
  type SlotTrouble,
  slotTrouble,
  unread,
  withRest,
} from './failover-readings.js';
import type { RoundMemory } from './failover-remembered.js';
import { isBusy, type Scope } from './failover-scope.js';
import type { Home } from './failover-sessions.js';
import type { FailoverSettings } from './failover-settings.js';
import { changedTo } from './kept-connections.js';
import { nameOf } from './resolve.js';
import { slotLogins } from './usage-tokens.js';

export interface LookDeps extends ReadingDeps {
  readonly settings: FailoverSettings;
  readonly memory: RoundMemory;
  readonly journal: Pick<Journal, 'read'>;
}

/** What was found about one slot, and what follows from it. */
export interface Decided {
  readonly decision: Decision;
  readonly current: Identity | null;
  readonly trouble: SlotTrouble | null;
  /** Whom to take; null for nobody. */
  readonly to: IndexEntry | null;
  /** The current one first, where it is stored; then the candidates. */
  readonly looked: readonly Looked[];
  readonly passed: readonly Passed[];
  /** Whose token was used. */
  readonly asked: readonly Identity[];
  readonly order: readonly IdentityKey[];
  readonly notes: readonly HostNote[];
  /** Keeps what was seen for the next round. */
  remember(): Promise<void>;
}

/**
 * Looks at who is in a slot, at the candidates only where that one is to be left, and at who is busy only where somebody would be taken.
 * @param taken whom another slot of the same round takes
 * @throws KEY*, VAULT_*, IO; the signal's reason
 */
export async function decideFor(
  deps: LookDeps,
  home: Home,
  scope: Scope,
  taken: ReadonlySet<IdentityKey>,
): Promise<Decided> {
  const { settings } = deps;
  const { id } = home.slot.address;
  const entries = await deps.repo.list();
  const { identity: current, entry } = occupantOf(home.reading, id, entries);
  const currentKey = current === null ? null : identityKey(current);
  const notes: HostNote[] = [];
  const now = deps.now();
  const trouble = slotTrouble(home.reading, entry, now);
  const before = await deps.memory.read(id);
  if (before.note !== null) notes.push(before.note);
  const since = current === null ? null : changedTo(await deps.journal.read(), id, current);

  const looked: Looked[] = [];
  if (current !== null) {
    const first = entry === null ? null : await lookAtCurrent(deps, home, entry, trouble);
    if (first === null) notes.push(notStored(current));
    else {
      looked.push(first.looked);
      notes.push(...first.notes);
    }
  }
  const remembered = (memory: Memory): Memory => {
    const readings = looked.map(({ reading }) => reading);
    return noteCurrent(remember(seeded(memory, since), readings, deps.now()), currentKey, deps.now());
  };
  const ask = (order: readonly IdentityKey[], busy: boolean): Decision =>
    decide({
      settings,
      current: currentKey,
      currentTrouble: troubleOf(trouble, looked, currentKey),
      readings: looked.map(({ reading }) => reading),
      memory: remembered(before.memory),
      order,
      busy,
      now: deps.now(),
    });

  let decision = ask([], false);
  let order: readonly IdentityKey[] = [];
  let passed: readonly Passed[] = [];
  if (decision.reason !== null) {
    const seen = await slotLogins(deps.host);
    const question = {
      host: deps.host,
      entries,
      preferred: settings.order,
      current: currentKey,
      seen,
      taken,
      now,
    };
    const candidates = candidatesFor(question);
    const others = await lookAt(deps, candidates.asked);
    for (const one of others.looked) {
      looked.push(withRest(one, await parkedStats(deps, one.entry.identity), deps.now()));
    }
    looked.push(...candidates.known);
    notes.push(...candidates.notes, ...others.notes, ...seen.notes);
    ({ order, passed } = candidates);
    decision = ask(order, false);
    if (decision.to !== null && (await busyNow(deps, home, scope))) decision = ask(order, true);
  }
  const { to } = decision;
  return {
    decision,
    current,
    trouble,
    to: to === null ? null : (entries.find(({ identity }) => identityKey(identity) === to) ?? null),
    looked,
    passed,
    asked: looked.filter((one) => one.asked).map((one) => one.entry.identity),
    order,
    notes,
    remember: () => deps.memory.change(id, remembered),
  };
}

/** Decides once more on the same readings, with who is there and who is busy now, and what is remembered by now. */
export async function decideAnew(
  deps: LookDeps,
  home: Home,
  scope: Scope,
  found: Decided,
): Promise<Decision> {
  const { id } = home.slot.address;
  const now = deps.now();
  const { identity } = occupantOf(home.reading, id, await deps.repo.list());
  const key = identity === null ? null : identityKey(identity);
  const isOther =
    identity === null || found.current === null
      ? identity !== found.current
      : !sameIdentity(identity, found.current);
  const { memory } = await deps.memory.read(id);
  const readings = found.looked.map(({ reading }) => reading);
  return decide({
    settings: deps.settings,
    current: key,
    currentTrouble: isOther ? null : troubleOf(found.trouble, found.looked, key),
    readings,
    memory: noteCurrent(remember(memory, readings, now), key, now),
    order: found.order,
    busy: await busyNow(deps, home, scope),
    now,
  });
}

/** A slot that OpenClaw is renewing is in the middle of a turn, or next to one. */
async function busyNow({ host, settings, now }: LookDeps, { reading }: Home, scope: Scope): Promise<boolean> {
  return reading.occupant.kind === 'refreshing' || (await isBusy(host, scope, settings.quietMs, now()));
}

async function lookAtCurrent(
  deps: LookDeps,
  { reading }: Home,
  entry: IndexEntry,
  trouble: SlotTrouble | null,
): Promise<{ readonly looked: Looked; readonly notes: readonly HostNote[] }> {
  const { occupant } = reading;
  const now = deps.now();
  if (trouble !== null) return { looked: unread(entry, trouble.state, trouble.why, now), notes: [] };
  if (occupant.kind !== 'login') {
    return { looked: unread(entry, 'unknown', 'OpenClaw is renewing it just now', now), notes: [] };
  }
  const { looked, notes } = await lookAt(deps, [entry]);
  const [found = unread(entry, 'unknown', 'it was not asked', now)] = looked;
  return { looked: withRest(found, occupant.selection ?? null, now), notes };
}

/** Only what a person has stored is asked with. */
function notStored(who: Identity): HostNote {
  const name = nameOf({ alias: null, identity: who });
  const text = `${name} is in the slot and is not stored here, so it was not asked: codex-router import --from openclaw`;
  return { code: 'CURRENT_NOT_STORED', text };
}

function troubleOf(
  trouble: SlotTrouble | null,
  looked: readonly Looked[],
  current: IdentityKey | null,
): FailoverReason | null {
  if (trouble !== null) return trouble.reason;
  const reading: Reading | undefined = looked.find((one) => one.reading.key === current)?.reading;
  const isHard = reading?.state === 'failed' || reading?.state === 'needs-login';
  return isHard ? 'current_profile_usage_error' : null;
}

/** A slot that failover has never looked at: when it was last switched is in the journal. */
function seeded(memory: Memory, since: number | null): Memory {
  return memory.current === null && memory.since === null && since !== null ? freshMemory(since) : memory;
}
