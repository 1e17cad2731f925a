import { RouterError } from '../errors.js';
import { type Identity, sameIdentity } from '../identity.js';
import type { IndexEntry, OpenRepo, Repo } from '../repo/repo.js';
import { isOfProvider } from '../slot/companions.js';
import type { Host, HostNote } from '../slot/host.js';
import { isOwnSlot } from '../slot/own-slot.js';
import type { PinOutcome, SessionEntry } from '../slot/pins.js';
import { isSlash } from '../slot/session.js';
import { shellWord } from '../text.js';
import { type ChoiceDeps, choosePins } from './chosen-pins.js';
import { inOwnSlot, leaveAllCommand, pinsOfAll } from './every-slot.js';
import { claimHost, ownerNotes, requireOwner } from './owner.js';
import { nameOf, resolve, selectorOf } from './resolve.js';
import {
  chatsOf,
  companionsIn,
  type LoginPlace,
  leftIn,
  type SessionScene,
  sessionScene,
} from './session-scene.js';
import type { SettledDeps } from './settled.js';

export interface ChosenSessionDeps extends ChoiceDeps, SettledDeps {
  readonly repo: Repo;
  /** Opens the vault; asked for only where something is to be written. */
  openRepo(): Promise<OpenRepo>;
  withLock<T>(work: () => Promise<T>): Promise<T>;
}

export interface ChosenSessionRequest {
  /** A session's key, with or without `agent:<id>:`. */
  readonly key: string;
  readonly dryRun: boolean;
}

export interface SetSessionRequest extends ChosenSessionRequest {
  /** Whose login, or its profile id in OpenClaw; null: the slot. */
  readonly to: string | null;
}

export interface ChosenSession {
  /** `pending`: the session's own pin is not sure yet, and why is in `notes`. */
  readonly result: 'set' | 'cleared' | 'unchanged' | 'pending' | 'planned';
  readonly agent: string;
  /** As it is stored. */
  readonly key: string;
  /** What it is pinned to; null: to nothing any more. */
  readonly to: LoginPlace | null;
  /** The session first, then its companions. */
  readonly pins: readonly PinOutcome[];
  readonly notes: readonly HostNote[];
}

/**
 * Pins one session, and its companions, to the agent's slot or to another login that lies in OpenClaw already. No login is moved and no
 * other session touched. It stays so through later switches and their undoing.
 * @throws SESSION_NOT_FOUND; IDENTITY_PARKED for somebody stored whom OpenClaw does not hold, IDENTITY_IN_USE whom another agent holds;
 * SLOT_FOREIGN for what is no login, or a pin that is to be left; IDENTITY_*, HOST_*, SLOT_*, KEY*, VAULT_*, BUSY
 */
export async function setSession(
  deps: ChosenSessionDeps,
  { key, to, dryRun }: SetSessionRequest,
): Promise<ChosenSession> {
  return await choose(deps, key, dryRun, (scene) => targetOf(deps, scene, to));
}

/**
 * Takes the pin off one session and its companions: they follow OpenClaw's order again. @throws as `setSession`
 */
export async function clearSession(
  deps: ChosenSessionDeps,
  { key, dryRun }: ChosenSessionRequest,
): Promise<ChosenSession> {
  return await choose(deps, key, dryRun, async () => null);
}

async function choose(
  deps: ChosenSessionDeps,
  key: string,
  dryRun: boolean,
  target: (scene: SessionScene) => Promise<LoginPlace | null>,
): Promise<ChosenSession> {
  const { host, withLock } = deps;
  const repo = dryRun ? null : await deps.openRepo();
  if (repo !== null) await requireOwner(host, repo);
  const work = async (): Promise<ChosenSession> => {
    const scene = await sessionScene(host, key, dryRun ? null : deps);
    refuseOther(host, scene.entry);
    const to = await target(scene);
    const is = to?.profileId ?? null;
    const planned = [scene.entry.key, ...companionsIn(host, scene, is)].map((one) => plan(scene, one, is));
    const chosen = { agent: scene.agent, key: scene.entry.key, to };
    const notes = [...sceneNotes(deps, scene, is, planned), ...(await unusedNotes(host, scene, planned))];
    if (repo === null) {
      return {
        ...chosen,
        result: 'planned',
        pins: planned,
        notes: [...(await ownerNotes(host, deps.repo)), ...notes],
      };
    }
    if (planned.some(({ result }) => result !== 'already')) await claimHost(host, repo, deps.now());
    const done = await choosePins(deps, scene.agent, planned, is);
    const pins = done.outcomes;
    if (pins[0]?.result === 'gone') throw gone(scene.entry.key);
    return { ...chosen, result: resultOf(pins, is), pins, notes: [...notes, ...done.notes] };
  };
  return repo === null ? await work() : await withLock(work);
}

function plan({ entries, entry }: SessionScene, key: string, is: string | null): PinOutcome {
  const found = key === entry.key ? entry : entries.find((one) => one.key === key);
  const was = found?.pinnedTo ?? null;
  const isChosen = is === null || found?.pinSource !== 'auto';
  return { key, was, is, result: was === is && isChosen ? 'already' : 'set' };
}

function resultOf(pins: readonly PinOutcome[], is: string | null): ChosenSession['result'] {
  if (pins[0]?.result === 'pending') return 'pending';
  if (pins.every(({ result }) => result === 'already')) return 'unchanged';
  return is === null ? 'cleared' : 'set';
}

/** Law 4: what runs on another provider's login, or on a `personal:` one, is not ours to change. */
function refuseOther({ summary }: Host, { key, pinnedTo }: SessionEntry): void {
  if (pinnedTo === null || isOfProvider(pinnedTo, summary)) return;
  const what = `${key} is pinned to ${pinnedTo}, which is not a login of ${summary.provider}, and was left`;
  throw new RouterError('SLOT_FOREIGN', what, {
    hint: 'whoever chose that in OpenClaw can choose otherwise there; nothing was changed',
  });
}

async function targetOf(
  deps: ChosenSessionDeps,
  scene: SessionScene,
  to: string | null,
): Promise<LoginPlace> {
  const { agent, places } = scene;
  const wanted = to?.trim() ?? null;
  const named = wanted === null ? places[0] : places.find(({ profileId }) => profileId === wanted);
  if (named !== undefined) {
    if (named.problem === null) return named;
    throw new RouterError(
      'SLOT_FOREIGN',
      `there is ${named.problem} in ${named.profileId} of agent ${agent}`,
      {
        hint: 'codex-router use <accountId> puts a login into the slot; nothing was changed',
      },
    );
  }
  if (wanted !== null && isOfProvider(wanted, deps.host.summary)) {
    const there = places.filter(({ problem }) => problem === null).map(({ profileId }) => profileId);
    throw new RouterError('IDENTITY_NOT_FOUND', `agent ${agent} has no login ${wanted}`, {
      hint: there.length === 0 ? 'codex-router use <accountId>' : `it has ${there.join(', ')}`,
    });
  }
  const entry = resolve(wanted ?? '', await storedIn(deps));
  const found = places.find(({ identity }) => identity !== null && sameIdentity(identity, entry.identity));
  if (found !== undefined) return found;
  throw (await elsewhere(deps.host, scene, entry)) ?? parked(scene, entry);
}

async function storedIn({ repo, openRepo }: ChosenSessionDeps): Promise<readonly IndexEntry[]> {
  return ((await repo.isBehind()) ? await openRepo() : repo).list();
}

/** The refusal of a login that another agent has, which no session of this one can use; null where none has it. */
async function elsewhere(
  host: Host,
  { agent }: SessionScene,
  entry: IndexEntry,
): Promise<RouterError | null> {
  for (const slot of [...(await host.allSlots()), ...(await host.everyOwnSlot())]) {
    const holder = await occupantOf(slot);
    if (holder === null || !sameIdentity(holder, entry.identity)) continue;
    const { address } = slot;
    if (isOwnSlot(address.id)) return await inOwnSlot(host, nameOf(entry), address.profileId);
    const what = `${nameOf(entry)} is in ${address.profileId} of agent ${address.agent}, which no session of agent ${agent} uses`;
    return new RouterError('IDENTITY_IN_USE', what, {
      hint: `codex-router use ${shellWord(selectorOf(entry))} --agent ${shellWord(agent)} --move takes it from there`,
    });
  }
  return null;
}

/** Null where there is none, also where the store cannot be read. */
async function occupantOf(slot: Awaited<ReturnType<Host['allSlots']>>[number]): Promise<Identity | null> {
  try {
    const { occupant } = await slot.read();
    return occupant.kind === 'login' ? occupant.identity : null;
  } catch (error) {
    if (error instanceof RouterError) return null;
    throw error;
  }
}

function parked({ entry: { key } }: SessionScene, entry: IndexEntry): RouterError {
  const what = `${nameOf(entry)} is parked: a session can only be pinned to a login that OpenClaw has`;
  const own = `codex-router failover once --own-slot --session ${shellWord(key)} --apply`;
  return new RouterError('IDENTITY_PARKED', what, {
    hint: `codex-router use ${shellWord(selectorOf(entry))} switches every session of the slot; ${own} gives this one a slot of its own`,
  });
}

function gone(key: string): RouterError {
  return new RouterError('SESSION_NOT_FOUND', `${key} is not there any more`, {
    hint: 'openclaw sessions lists them',
  });
}

function sceneNotes(
  deps: ChosenSessionDeps,
  scene: SessionScene,
  is: string | null,
  planned: readonly PinOutcome[],
): readonly HostNote[] {
  const { host } = deps;
  const { key } = scene.entry;
  const notes: HostNote[] = [];
  const left = leftIn(host, scene, is);
  if (left.length > 0) {
    const text = `${left.join(', ')} is pinned to another login and was left alone`;
    notes.push({ code: 'PINS_LEFT', text });
  }
  if (isSlash(key)) {
    const chats = chatsOf(host, scene).join(', ');
    const text = `no turn runs on a slash entry: it decides what the commands in its chat show${chats === '' ? '' : `; the chat is ${chats}`}`;
    notes.push({ code: 'SLASH_ENTRY', text });
  }
  const { reading, choosers } = scene.turns;
  if (is === null && !(reading.selectable && choosers.length === 0)) {
    const text = `it follows OpenClaw's own order now, which does not lead to the slot alone: codex-router explain --session ${shellWord(key)}`;
    notes.push({ code: 'FOLLOWS_ORDER', text });
  }
  return [...notes, ...unorderedNotes(host, scene, is), ...keptNotes(deps, scene, planned)];
}

function unorderedNotes(
  { choosing }: Host,
  { turns: { reading } }: SessionScene,
  is: string | null,
): readonly HostNote[] {
  const order = reading.order ?? choosing?.order ?? [];
  if (choosing?.dropsUnordered !== true || is === null || order.length === 0 || order.includes(is)) return [];
  const text = `OpenClaw before 2026.5.7 takes a pin off at the next turn when its order does not name the login, and the order is ${order.join(', ')}: update OpenClaw to keep a session on ${is}`;
  return [{ code: 'PIN_UNORDERED', text }];
}

/** An own slot that this session was the last one of keeps its login, which nobody uses there. */
async function unusedNotes(
  host: Host,
  { agent }: SessionScene,
  planned: readonly PinOutcome[],
): Promise<readonly HostNote[]> {
  const left = new Set(
    planned.flatMap(({ was, is }) => (was !== null && was !== is && isOwnSlot(was) ? [was] : [])),
  );
  if (left.size === 0) return [];
  const isPlanned = (one: { readonly agent: string; readonly key: string }) =>
    one.agent === agent && planned.some(({ key }) => key === one.key);
  const used = (await pinsOfAll(host)).flatMap((one) => (isPlanned(one) ? [] : [one.pinnedTo]));
  const leave = leaveAllCommand(used.some(isOwnSlot));
  return [...left]
    .filter((profileId) => !used.includes(profileId))
    .map((profileId) => ({
      code: 'OWN_SLOT_UNUSED',
      text: `no session is pinned to ${profileId} then, and its login stays there: ${leave} brings it home`,
    }));
}

/** Whose login a pin leads to; null where that cannot be told. */
function whoseIs(
  { places, turns: { reading, choosers } }: SessionScene,
  pin: string | null,
): Identity | null {
  const follows = reading.selectable && choosers.length === 0;
  const found = pin === null && follows ? places[0] : places.find(({ profileId }) => profileId === pin);
  return found?.identity ?? null;
}

/** What the pin was when the last turn began is what its connection to the model goes on with. */
function keptNotes(
  { host: { keptMs = null }, now }: ChosenSessionDeps,
  scene: SessionScene,
  planned: readonly PinOutcome[],
): readonly HostNote[] {
  const { key, updatedAt } = scene.entry;
  const [own] = planned;
  if (keptMs === null || own === undefined || own.was === own.is || isSlash(key)) return [];
  const [before, after] = [whoseIs(scene, own.was), whoseIs(scene, own.is)];
  if (before !== null && after !== null && sameIdentity(before, after)) return [];
  if (updatedAt !== 0 && now() - updatedAt >= keptMs) return [];
  const minutes = Math.round(keptMs / 60_000);
  const text = `this chat was at work in the last ${minutes} minutes: a running gateway goes on with the account before until it has been quiet for ${minutes}, because OpenClaw keeps its connection to the model; /new in it ends that at once`;
  return [{ code: 'CONNECTION_KEPT', text }];
}
