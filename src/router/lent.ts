import { RouterError } from '../errors.js';
import { type Identity, identityKey, sameIdentity } from '../identity.js';
import type { IndexEntry, Lending, OpenRepo } from '../repo/repo.js';
import type { HostNote } from '../slot/host.js';
import type { Holder } from './custody.js';
import { nameOf, selectorOf } from './resolve.js';

/**
 * The lending by which Codex holds the stored grant, whatever lies in its folder now: only `unlend` ends it. A grant that came from
 * elsewhere since may be what Codex made of it (3.24 to 4.15 of OpenClaw copy Codex's own), so it counts too. Null when it was lent
 * without its grant, or a login of our own making was stored since.
 */
export function handedOver({ lent }: Pick<IndexEntry, 'lent'>): Lending | null {
  return lent?.what === 'grant' && lent.replaced !== true ? lent : null;
}

/** What was handed over is Codex's until `unlend`, wherever CODEX_HOME points now and whatever lies there. */
export function codexHas(entry: IndexEntry): readonly Holder[] {
  const lent = handedOver(entry);
  if (lent === null) return [];
  const name = `the Codex CLI in ${lent.folder}, which it was handed over to,`;
  return [{ kind: 'unknown', name, remedy: unlendCommand(entry) }];
}

/** The command that ends a lending. */
export function unlendCommand(entry: IndexEntry): string {
  return `codex-router unlend ${selectorOf(entry)}`;
}

/** What would make the record of a lending untrue. @throws LENT */
export function refuseLent(entry: IndexEntry, what: readonly Lending['what'][]): void {
  const { lent } = entry;
  if (lent === null || !what.includes(lent.what)) return;
  const given = lent.what === 'grant' ? 'was handed over' : 'is lent';
  throw new RouterError('LENT', `${nameOf(entry)} ${given} to the Codex CLI in ${lent.folder}`, {
    hint: `${unlendCommand(entry)} first`,
  });
}

/** A copy of what was handed over, as Codex has rotated it, would pass for another login than Codex's. @throws LENT */
export async function refuseCopy(
  repo: OpenRepo,
  who: Pick<Identity, 'accountId' | 'userId'>,
  folder: string,
): Promise<void> {
  const entry = (await repo.list()).find(({ identity }) => sameIdentity(identity, who));
  if (entry?.lent?.folder === folder) refuseLent(entry, ['grant']);
}

/**
 * A login that was taken out of the Codex home it was handed over to is home again.
 * @param isUnlend whether an `unlend` had begun it: whoever was there before is then still to be put back.
 */
export async function endHandOver(
  repo: OpenRepo,
  who: Pick<Identity, 'accountId' | 'userId'>,
  folder: string,
  isUnlend: boolean,
): Promise<void> {
  const entry = (await repo.list()).find(({ identity }) => sameIdentity(identity, who));
  if (entry?.lent?.what !== 'grant' || entry.lent.folder !== folder) return;
  await repo.lend(identityKey(who), isUnlend ? afterTaking(entry.lent) : null);
}

/** What is left of a lending whose login is home: only who has to be put back there. */
export function afterTaking({ fingerprint: _, until: __, replaced: ___, ...lent }: Lending): Lending | null {
  return lent.displaced === null ? null : { ...lent, what: 'access', proved: false };
}

/** What is lent, one note each. */
export function lentNotes(entries: readonly IndexEntry[]): readonly HostNote[] {
  return entries.flatMap((entry) => {
    const { lent } = entry;
    if (lent === null || lent.own === true) return [];
    const how =
      lent.what === 'grant'
        ? `was handed over to the Codex CLI in ${lent.folder}`
        : `is lent to the Codex CLI in ${lent.folder}${lent.until === undefined ? '' : ` until ${shortTime(lent.until)}`}`;
    return [{ code: 'LENT', text: `${nameOf(entry)} ${how}: ${unlendCommand(entry)} ends it` }];
  });
}

/** UTC, to the minute. */
export function shortTime(at: number): string {
  if (Math.abs(at) > 8.64e15) return 'an unknown time';
  return `${new Date(at).toISOString().slice(0, 16).replace('T', ' ')}Z`;
}
