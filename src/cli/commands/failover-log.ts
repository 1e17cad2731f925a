import { join } from 'node:path';
import { RouterError } from '../../errors.js';
import { identityKey } from '../../identity.js';
import { type FailoverLog, failoverLogIn, type LoggedEvent } from '../../repo/failover-log.js';
import { failoverFolder } from '../../repo/failover-state.js';
import { stampText } from '../../router/times.js';
import { showText } from '../../text.js';
import { hostOrNull } from '../adapt.js';
import type { Cli } from '../cli.js';
import { compose, type Parts } from '../compose.js';
import { DONE, type FailoverLogDocument } from '../documents.js';
import { PLAIN, peopleNames } from '../failover-names.js';
import type { HostOptions } from '../options.js';
import { readSettings } from '../settings.js';

export interface FailoverLogOptions extends HostOptions {
  readonly limit?: string;
  readonly names?: boolean;
}

/** `codex-router failover log`: what the watch and `failover once --apply` did, oldest first; names only where they are asked for. */
export async function runFailoverLog(cli: Cli, options: FailoverLogOptions): Promise<void> {
  const most = limitOf(options);
  const parts = compose(cli, options);
  const log = failoverLogIn(parts.folders.data);
  const named = options.names === true ? await unmasked(cli, parts, log) : null;
  const name = (mask: string) => named?.get(mask) ?? mask;
  const document: FailoverLogDocument = {
    ...DONE,
    path: join(failoverFolder(parts.folders.data), 'events.jsonl'),
    events: (await log.last(most)).map((event) => shown(event, name)),
  };
  cli.print(document, () => text(document));
}

const [LONGEST, DEFAULT] = [10_000, 50];

function limitOf({ limit }: FailoverLogOptions): number {
  const most = limit === undefined ? DEFAULT : Number(limit);
  if (limit?.trim() !== '' && Number.isInteger(most) && most >= 1 && most <= LONGEST) return most;
  throw new RouterError('USAGE', `--limit takes a whole number, ${LONGEST} at most`, {
    hint: 'codex-router failover log --limit 50',
  });
}

/** What the masks stand for, as far as it can be found: who is stored, and the sessions and slots of this OpenClaw. */
async function unmasked(cli: Cli, parts: Parts, log: FailoverLog): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  const add = async (what: Parameters<FailoverLog['maskOf']>[0], name: string, shownAs: string) => {
    const mask = await log.maskOf(what, name);
    if (mask !== null) found.set(mask, shownAs);
  };
  const entries = await parts.repo.list();
  const names = cli.json ? PLAIN : peopleNames(entries);
  for (const { identity } of entries) {
    const key = identityKey(identity);
    await add('identity', key, names.identity(key));
  }
  const { failover } = await readSettings(parts.folders.config);
  for (const key of failover.sessions) await add('session', key, names.session(key));
  for (const { what, name } of await onHost(parts)) await add(what, name, names[what](name));
  return found;
}

async function onHost(
  parts: Parts,
): Promise<readonly { readonly what: 'slot' | 'session'; readonly name: string }[]> {
  try {
    const host = await hostOrNull(parts);
    if (host === null) return [];
    const slots = [...(await host.allSlots()), ...(await host.everyOwnSlot())];
    const sessions = await Promise.all(host.agents.map((agent) => host.pinsOf(agent).read()));
    return [
      ...slots.map(({ address }) => ({ what: 'slot' as const, name: address.id })),
      ...sessions.flat().map(({ key }) => ({ what: 'session' as const, name: key })),
    ];
  } catch (error) {
    // The log can be read without an OpenClaw; its masks then stay.
    if (error instanceof RouterError) return [];
    throw error;
  }
}

function shown(
  { at, kind, apply, slot, sessions, from, to, reason, status, held, code }: LoggedEvent,
  name: (mask: string) => string,
): FailoverLogDocument['events'][number] {
  return {
    at,
    kind,
    apply,
    slot: slot && name(slot),
    sessions: sessions.map(name),
    from: from && name(from),
    to: to && name(to),
    reason,
    status,
    held,
    code,
  };
}

function text({ events }: FailoverLogDocument): string {
  if (events.length === 0) return 'nothing has been logged yet';
  return events.map(line).join('\n');
}

function line(event: FailoverLogDocument['events'][number]): string {
  const { at, kind, apply, slot, sessions, from, to, reason, status, held, code } = event;
  const way = to === null ? (from ?? null) : `${from ?? 'nobody'} -> ${to}`;
  const marks = [
    way,
    status,
    reason,
    held === null ? null : `held: ${held}`,
    code,
    slot === null ? null : `slot ${slot}`,
    sessions.length === 0 ? null : `sessions ${sessions.join(' ')}`,
  ].filter((mark) => mark !== null);
  const what = `${kind}${apply ? '' : ' (dry run)'}`;
  return `${stampText(at)}  ${what}${marks.length === 0 ? '' : `  ${marks.map((mark) => showText(mark, 300)).join(', ')}`}`;
}
