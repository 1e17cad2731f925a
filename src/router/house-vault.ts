import { RouterError } from '../errors.js';
import { identityKey } from '../identity.js';
import type { RepoFiles } from '../repo/files.js';
import type { House } from '../repo/house.js';
import { type KeyTrouble, keyTroubles } from '../repo/house-keys.js';
import { lookAtRecords, mendIndexOf, type RecordLook } from '../repo/house-records.js';
import { KEY_KIND_NAME } from '../repo/key-kind.js';
import { readVaultFile } from '../repo/vault.js';
import { shellWord } from '../text.js';
import type { Finding, Mend } from './finding.js';
import type { HouseDeps } from './house-findings.js';
import { BEHIND } from './list.js';
import { nameOf } from './resolve.js';

/** Whether the vault opens, with each of its keys, and whether the index lists what is sealed. */
export async function vaultFindings(
  deps: HouseDeps,
  house: House,
  files: RepoFiles,
): Promise<readonly Finding[]> {
  const { vault, opened } = deps;
  const findings: Finding[] = [];
  if (opened instanceof RouterError) findings.push(closed(opened));
  const repo = opened instanceof RouterError ? null : opened;
  const vaultId = repo?.vaultId ?? (await vaultIdOf(deps));
  if (vaultId !== null && house.unlockers !== null) {
    const failed = opened instanceof RouterError ? opened : null;
    const troubles = await keyTroubles(vault, vaultId, house.unlockers, failed);
    const isOnly = house.unlockers.length === 1;
    // Why the vault does not open is said already.
    findings.push(
      ...troubles.filter(({ error }) => !isSame(error, failed)).map((one) => keyFinding(one, isOnly)),
    );
  }
  const look = await lookAtRecords(files, vaultId, repo);
  return [...findings, ...indexFindings(deps, files, look), ...recordFindings(look)];
}

function isSame(error: RouterError, other: RouterError | null): boolean {
  return error.code === other?.code && error.message === other.message;
}

async function vaultIdOf({ vault }: HouseDeps): Promise<string | null> {
  try {
    return (await readVaultFile(vault.folders))?.vaultId ?? null;
  } catch (error) {
    if (error instanceof RouterError) return null;
    throw error;
  }
}

function closed(error: RouterError): Finding {
  const { code, message, hint = null } = error;
  const base = { part: 'vault', danger: false, remedy: hint, mend: null } as const;
  if (code === 'VAULT_MISSING') return { ...base, code: 'VAULT_MISSING', text: message };
  const text = `the vault could not be opened, so what only its key tells was not looked at: ${message} (${code})`;
  return { ...base, code: 'VAULT_CLOSED', text };
}

function keyFinding({ unlocker, primary, kind, error }: KeyTrouble, isOnly: boolean): Finding {
  const which = primary ? 'the key that every command opens the vault with' : 'a further key of the vault';
  const text = `${which}, ${KEY_KIND_NAME[unlocker.kind]}, cannot be used: ${error.message}`;
  const again = primary
    ? `codex-router vault rekey --to ${unlocker.kind}`
    : `codex-router vault add-key ${unlocker.kind}`;
  const isGone = kind === 'gone' || kind === 'wrong';
  const remedy = isGone && !isOnly ? again : (error.hint ?? null);
  return {
    code: isGone ? 'KEY_GONE' : 'KEY_UNUSABLE',
    part: 'vault',
    danger: false,
    text,
    remedy,
    mend: null,
  };
}

const CHECK = BEHIND.remedy;

function indexFindings(deps: HouseDeps, files: RepoFiles, look: RecordLook): readonly Finding[] {
  const findings: Finding[] = [];
  const { damage, withoutIndex, unlisted, ahead, removing } = look;
  // What the index alone knew, as that a login was ended, is not in the records.
  const isAnew = damage !== null || withoutIndex > 0;
  const mend = indexMend(deps, files, isAnew);
  const add = (code: Finding['code'], text: string) =>
    findings.push({ code, part: 'vault', danger: false, text, remedy: CHECK, mend });
  // One of another vault, or of a later release, is whole, and only a person knows which of the two belongs here.
  if (damage !== null) {
    const isOurs = damage.code === 'VAULT_DAMAGED' && damage.hint === CHECK;
    const code = damage.code === 'IO' ? 'HOUSE_UNREADABLE' : 'INDEX_DAMAGED';
    const base = { code, part: 'vault', danger: false, text: damage.message } as const;
    findings.push({ ...base, remedy: damage.hint ?? null, mend: isOurs ? mend : null });
  }
  if (withoutIndex > 0)
    add(
      'INDEX_MISSING',
      `index.json is missing beside ${many(withoutIndex, 'sealed identity', 'sealed identities')}`,
    );
  const known = unlisted.filter(({ opens }) => opens !== false).length;
  if (known > 0)
    add(
      'NOT_LISTED',
      known === 1 ? BEHIND.text : `a crash has left ${known} stored logins that are not listed yet`,
    );
  if (ahead.length > 0)
    add(
      'INDEX_BEHIND',
      `the sealed record of ${ahead.map(nameOf).join(', ')} is later than index.json says: a crash came between the two`,
    );
  if (removing > 0)
    add(
      'REMOVAL_UNFINISHED',
      `${many(removing, 'sealed record', 'sealed records')} of removed logins ${removing === 1 ? 'is' : 'are'} still there: a crash interrupted their removal`,
    );
  const foreign = unlisted.filter(({ opens }) => opens === false).map(({ name }) => `records/${name}`);
  if (foreign.length > 0) {
    const text = `${foreign.join(', ')} cannot be opened with this vault's key and belongs to nobody who is listed: it is left as it is`;
    findings.push({ code: 'RECORD_UNKNOWN', part: 'vault', danger: false, text, remedy: null, mend: null });
  }
  return findings;
}

/** Null without the key: what is listed is decided by what opens. */
function indexMend({ opened, withLock }: HouseDeps, files: RepoFiles, isAnew: boolean): Mend | null {
  if (opened instanceof RouterError) return null;
  return {
    does: `put index.json right from the sealed records${isAnew ? ', whose logins are then to be proved: codex-router refresh --all' : ''}`,
    carryOut: () =>
      withLock(async () => {
        const { rebuilt, removed, setAside } = await mendIndexOf(files, opened);
        const told = [
          ...(setAside ? ['kept the damaged index as index.json.damaged'] : []),
          ...(rebuilt > 0 ? [`listed ${many(rebuilt, 'identity', 'identities')} from their records`] : []),
          ...(removed > 0 ? [`deleted ${many(removed, 'record', 'records')} of removed logins`] : []),
        ];
        const text = told.length === 0 ? 'index.json was right already' : told.join(', ');
        return { text, undo: null, notes: [] };
      }),
  };
}

function recordFindings({ missing, damaged }: RecordLook): readonly Finding[] {
  return [
    ...missing.map((entry): Finding => {
      const text = `the sealed record of ${nameOf(entry)} is missing: its login is listed and cannot be used`;
      return {
        code: 'RECORD_MISSING',
        part: 'vault',
        danger: true,
        text,
        remedy: 'codex-router restore',
        mend: null,
      };
    }),
    ...damaged.map(({ entry, error }): Finding => {
      const text = `the stored login of ${nameOf(entry)} cannot be used: ${error.message}`;
      const login = `codex-router login --expect ${shellWord(identityKey(entry.identity))}`;
      const remedy = `codex-router restore, or ${login}`;
      return { code: 'RECORD_DAMAGED', part: 'vault', danger: true, text, remedy, mend: null };
    }),
  ];
}

function many(count: number, one: string, more: string): string {
  return `${count} ${count === 1 ? one : more}`;
}
