import { RouterError, systemErrorCode } from '../errors.js';
import { ioError, writeAtomic } from '../os/atomic.js';
import { createExclusively } from '../os/exclusive.js';
import { constants, open, readFile } from '../os/files.js';
import type { MendBackups } from '../repo/mend-backups.js';
import type { OpenRepo } from '../repo/repo.js';
import type { Host, HostNote } from '../slot/host.js';
import { shellWord } from '../text.js';
import type { Before, FileBefore } from './finding.js';
import { parseBefore } from './mend-before.js';
import { requireOwner } from './owner.js';
import { type SettledDeps, settledReading } from './settled.js';
import { choosingSlots, turnsGroup } from './turns-slot.js';

export interface MendUndoDeps extends SettledDeps {
  readonly backups: MendBackups;
  /** Null when there is no OpenClaw here. */
  readonly host: Host | null;
  withLock<T>(work: () => Promise<T>): Promise<T>;
  critical<T>(work: () => Promise<T>): Promise<T>;
}

export interface MendUndone {
  readonly id: string;
  /** What is as it was: a sentence without a full stop. */
  readonly text: string;
  readonly notes: readonly HostNote[];
}

/**
 * Takes one mend back: what is still as that mend left it becomes what it was before; what was changed since is left and said.
 * @param id null for the last one
 * @throws BACKUP_NOT_FOUND; SLOT_CHANGED when all of it was changed since: nothing was written; HOST_BUSY for a file that a running
 * gateway would restart itself for; HOST_OWNED, VAULT_ROLLED_BACK, HOST_NOT_FOUND, RECORD_DAMAGED, IO, what the ports throw
 */
export async function undoMend(deps: MendUndoDeps, repo: OpenRepo, id: string | null): Promise<MendUndone> {
  const { backups, withLock } = deps;
  return withLock(async () => {
    const backup = await backups.open(id);
    const { before, stateDir } = parseBefore(backup.text, backup.id);
    const host = await hostOf(deps, repo, stateDir);
    const done =
      before.kind === 'file'
        ? await fileBack(deps, host, before)
        : before.kind === 'pins'
          ? await pinsBack(deps, host, before)
          : await choiceBack(deps, host, before);
    await backups.drop(backup.id);
    return { id: backup.id, ...done };
  });
}

type Done = Omit<MendUndone, 'id'>;

/** The very OpenClaw that the mend was made in: another one has sessions and slots of the same names. */
async function hostOf({ host }: MendUndoDeps, repo: OpenRepo, stateDir: string): Promise<Host> {
  if (host === null) throw noHost();
  if (host.summary.stateDir !== stateDir) throw elsewhere(stateDir);
  await requireOwner(host, repo);
  return host;
}

async function pinsBack(
  { critical }: MendUndoDeps,
  host: Host,
  { agent, pins: kept }: Extract<Before, { kind: 'pins' }>,
): Promise<Done> {
  const pins = host.pinsOf(agent);
  const pinnedTo = new Map((await pins.read()).map((entry) => [entry.key, entry.pinnedTo]));
  // An own slot that was gone then holds a login for other sessions by now.
  const taken = new Set((await host.everyOwnSlot()).map(({ address }) => address.profileId));
  const ours = kept.filter(
    ({ key, is, was }) => pinnedTo.has(key) && pinnedTo.get(key) === is && !taken.has(was ?? ''),
  );
  if (ours.length === 0) throw changedSince();
  // One write for all that were pinned alike: there can be thousands.
  for (const was of new Set(ours.map((one) => one.was))) {
    const keys = ours.filter((one) => one.was === was).map(({ key }) => key);
    const set = await critical(() => pins.set(keys, was));
    const outcomes = (await pins.keep?.(set, was)) ?? set;
    const left = outcomes.find(({ result }) => result === 'pending');
    if (left !== undefined) throw pending(left.key, left.why);
  }
  const [first] = ours;
  const more = ours.length > 1 ? `; ${ours.length - 1} more are as they were` : '';
  const text = `${first?.key} is ${first?.was == null ? 'not pinned' : `pinned to ${first.was}`} again${more}`;
  return { text, notes: leftNotes(kept.length - ours.length, 'session pin(s)') };
}

async function choiceBack(
  deps: MendUndoDeps,
  host: Host,
  { agent, slots: kept }: Extract<Before, { kind: 'selection' }>,
): Promise<Done> {
  const { main } = await turnsGroup(host, agent);
  const there = new Map((await choosingSlots(host, agent)).map((slot) => [slot.address.id, slot]));
  const notes: HostNote[] = [];
  let done = 0;
  for (const { id, order, lastGood } of kept) {
    const slot = there.get(id);
    if (slot === undefined) continue;
    const reading = await settledReading(slot, deps);
    if (!reading.selectable) continue;
    const change = { expect: reading.revision, put: 'keep', takeOut: [] } as const;
    await deps.critical(() => slot.replace({ ...change, choose: { order, lastGood } }));
    done += 1;
  }
  if (done === 0) throw changedSince();
  const { occupant } = await main.read();
  if (occupant.kind === 'login') notes.push(...(await host.reload(main, occupant.grant.expiresAt)).notes);
  const text = `the order of agent ${agent} is as it was: ${kept[0]?.order?.join(', ') ?? 'none'}`;
  return { text, notes: [...notes, ...leftNotes(kept.length - done, 'store(s)')] };
}

async function fileBack({ critical }: MendUndoDeps, host: Host, before: FileBefore): Promise<Done> {
  const { path, bytes, next, mode, restarts } = before;
  if (bytes === null) return modeBack(before, critical);
  if (next === undefined) {
    // A lock of a program that lives can lie there by now, and come there at any moment.
    if (!(await critical(() => createExclusively(path, bytes)))) throw changedSince();
    return { text: `${path} is as it was`, notes: [] };
  }
  if ((await bytesOf(path))?.equals(next) !== true) throw changedSince();
  if (restarts === true && (await gatewayRuns(host))) throw running(path);
  const beforeRename = async () => {
    if ((await bytesOf(path))?.equals(next) !== true) throw changedSince();
  };
  await critical(() => writeAtomic(path, bytes, { mode, beforeRename }));
  return { text: `${path} is as it was`, notes: [] };
}

/** Only who may read it was changed. */
async function modeBack(
  { path, mode, nextMode }: FileBefore,
  critical: MendUndoDeps['critical'],
): Promise<Done> {
  await critical(async () => {
    const file = await openedNow(path);
    try {
      const { mode: now } = await file.stat();
      if (nextMode !== undefined && (now & 0o7777) !== nextMode) throw changedSince();
      await file.chmod(mode);
    } catch (error) {
      throw ioError(error, path, 'write');
    } finally {
      await file.close();
    }
  });
  return { text: `${path} has the permissions ${mode.toString(8)} again`, notes: [] };
}

async function openedNow(path: string) {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    const code = systemErrorCode(error) ?? '';
    throw ['ENOENT', 'ENOTDIR', 'ELOOP'].includes(code) ? changedSince() : ioError(error, path, 'write');
  }
}

/** Where it cannot be told, it may. */
async function gatewayRuns(host: Host): Promise<boolean> {
  const [slot] = await host.allSlots();
  if (slot === undefined) return true;
  const { occupant } = await slot.read();
  if (occupant.kind !== 'login') return true;
  return (await host.held?.(slot, occupant.grant.expiresAt))?.kind !== 'no-gateway';
}

async function bytesOf(path: string): Promise<Buffer | null> {
  try {
    return await readFile(path);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw ioError(error, path, 'read');
  }
}

function leftNotes(left: number, what: string): readonly HostNote[] {
  if (left === 0) return [];
  return [{ code: 'LEFT_AS_CHANGED', text: `${left} ${what} changed since and were left` }];
}

function changedSince(): RouterError {
  return new RouterError('SLOT_CHANGED', 'what that mend had changed was changed since, and was left', {
    hint: 'codex-router doctor looks at what is there now; nothing was written',
  });
}

function pending(key: string, why = 'OpenClaw wrote the other pin back'): RouterError {
  return new RouterError('HOST_BUSY', `${key} was not pinned as before: ${why}`, {
    hint: 'run the command again, between two turns',
  });
}

function running(path: string): RouterError {
  return new RouterError('HOST_BUSY', `the running gateway would restart itself for a change of ${path}`, {
    hint: 'stop it, then run the command again; nothing was changed',
  });
}

function elsewhere(stateDir: string): RouterError {
  return new RouterError('HOST_NOT_FOUND', `that mend was made in another OpenClaw, in ${stateDir}`, {
    hint: `the same command with --state-dir ${shellWord(stateDir)}; nothing was changed`,
  });
}

function noHost(): RouterError {
  return new RouterError('HOST_NOT_FOUND', 'there is no OpenClaw here to take a mend back in', {
    hint: '--state-dir <path> names one',
  });
}
