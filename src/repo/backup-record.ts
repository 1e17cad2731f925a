import * as z from 'zod/mini';
import { RouterError } from '../errors.js';
import type { Grant } from '../grant.js';
import type { Holding } from '../holding.js';
import { identityKey } from '../identity.js';
import { type BackupFile, backupFiles, writeBackup } from './backups.js';
import { recordName } from './files.js';
import { damage, readTextOrNull } from './format.js';
import { openRecord, parseHeader, sealRecord } from './record.js';
import type { BackUp, Fingerprint } from './repo.js';
import type { Vault } from './vault.js';

/** What a back-up says of itself in the clear beside a record's header; both are authenticated. */
const extra = z.looseObject({ at: z.int().check(z.positive()), reason: z.string() });

interface OpenedBackup {
  readonly holding: Holding;
  readonly reason: string;
}

/** The sealed copies of what was overwritten, in `folder`. */
export interface Backups {
  /** Sealed, written durably and proved when it returns. @throws IO */
  write(holding: Holding, reason: string, at: number): Promise<void>;
  /** As `OpenRepo.backUps`. */
  list(): Promise<readonly BackUp[]>;
  /** As `OpenRepo.openBackUp`. */
  open(id: string): Promise<Holding>;
}

export function backupsIn(folder: string, vault: Vault, fingerprint: (grant: Grant) => Fingerprint): Backups {
  async function write(holding: Holding, reason: string, at: number): Promise<void> {
    const facts = {
      alias: null,
      source: 'slot',
      verified: false,
      sharedWith: null,
      addedAt: at,
      updatedAt: at,
    } as const;
    const sealed = sealRecord(vault, { holding, facts }, 1, markOf(at, reason));
    const text = `${JSON.stringify({ ...parseHeader(sealed, folder), at, reason })}\n`;
    const record = recordName(identityKey(holding.identity));
    const path = await writeBackup(folder, record, at, text);
    openText((await readTextOrNull(path)) ?? '', { path, id: '', at, record });
  }

  function openText(text: string, { path, at, record }: BackupFile): OpenedBackup {
    const head = parseHeader(text, path);
    const said = extra.safeParse(head);
    if (!said.success) throw damage(path, 'its header is not as it must be', 'RECORD_DAMAGED');
    const { reason } = said.data;
    const { holding } = openRecord(vault, head, head.identity, path, markOf(said.data.at, reason));
    const renamed = said.data.at !== at || recordName(identityKey(holding.identity)) !== record;
    if (renamed) throw damage(path, 'its name is not the one it was given', 'RECORD_DAMAGED');
    return { holding, reason };
  }

  async function look(file: BackupFile): Promise<BackUp | null> {
    const { id, at, path, record } = file;
    try {
      const text = await readTextOrNull(path);
      if (text === null) return null;
      const { holding, reason } = openText(text, file);
      const { identity, grant } = holding;
      return { id, at, identity, reason, fingerprint: fingerprint(grant), trouble: null };
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
      const { message: trouble } = error;
      return { id, at, identity: null, record, reason: null, fingerprint: null, trouble };
    }
  }

  return {
    write,
    async list() {
      const found: BackUp[] = [];
      for (const file of await backupFiles(folder)) {
        const backUp = await look(file);
        if (backUp !== null) found.push(backUp);
      }
      return found;
    },
    async open(id) {
      const file = (await backupFiles(folder)).find((candidate) => candidate.id === id);
      const text = file === undefined ? null : await readTextOrNull(file.path);
      if (file === undefined || text === null) {
        throw new RouterError('BACKUP_NOT_FOUND', `there is no back-up ${id}`, {
          hint: 'codex-router restore',
        });
      }
      return openText(text, file).holding;
    },
  };
}

/** What a back-up is bound to in the place of a revision, so that it never opens as a record, nor a record as a back-up. */
function markOf(at: number, reason: string): string {
  return `backup|${at}|${reason}`;
}
