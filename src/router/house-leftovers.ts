import { join } from 'node:path';
import { RouterError } from '../errors.js';
import { withGrantLock } from '../os/lock.js';
import { backupsPastKeeping } from '../repo/backups.js';
import { type ChatOwner, chatLoginsIn } from '../repo/chat-logins.js';
import { failoverStateIn } from '../repo/failover-state.js';
import { parseVersioned, readTextOrNull } from '../repo/format.js';
import { type House, type HousePart, nameIn } from '../repo/house.js';
import { isLeftOver, removeLeftOver } from '../repo/house-mends.js';
import { pendingLoginsIn } from '../repo/pending-logins.js';
import { usageFileIn } from '../repo/usage-file.js';
import { usageHistoryIn } from '../repo/usage-history.js';
import { isOver } from './chat-login-trouble.js';
import type { Finding, Mend } from './finding.js';
import type { HouseDeps } from './house-findings.js';
import { listed } from './house-permissions.js';
import { readPending, sweepPending } from './pending-login.js';

/** What lies in our folders and serves nothing any more, and what cannot be read of what holds no login. */
export async function leftoverFindings(deps: HouseDeps, house: House): Promise<readonly Finding[]> {
  return [
    ...fileFindings(deps, house),
    ...(await expiredFindings(deps)),
    ...(await backUpFindings(deps)),
    ...(await unreadableFindings(deps, house)),
  ];
}

function fileFindings(deps: HouseDeps, { parts, unlockers }: House): readonly Finding[] {
  const { folders } = deps.vault;
  const findings: Finding[] = [];
  const base = { part: 'leftover', danger: false, remedy: null, mend: null } as const;
  const named = (some: readonly HousePart[]) => listed(some.map(({ path }) => nameIn(folders, path)));
  const left = parts.filter((part) => isLeftOver(part, deps.now()));
  if (left.length > 0) {
    const text = `a write that was killed left ${named(left)} behind: no command reads it`;
    findings.push({ ...base, code: 'HOUSE_TEMPORARY', text, mend: removal(deps, left) });
  }
  const aside = parts.filter(({ role }) => role === 'set-aside');
  if (aside.length > 0) {
    const text = `${named(aside)} could not be read once and was set aside: delete it when nothing is missed`;
    findings.push({ ...base, code: 'HOUSE_SET_ASIDE', text });
  }
  const unknown = parts.filter(({ role }) => role === 'unknown');
  if (unknown.length > 0) {
    const text = `codex-router does not know ${named(unknown)} in its own folders, and leaves it`;
    findings.push({ ...base, code: 'HOUSE_UNKNOWN', text });
  }
  const used = new Set(unlockers?.flatMap((one) => (one.kind === 'file' ? [one.path] : [])));
  const keys = parts.filter(({ role, path }) => role === 'key-file' && !used.has(path));
  if (unlockers !== null && keys.length > 0) {
    const text = `${named(keys)} is a key file that this vault does not name: it may open another vault, or a back-up of this one`;
    findings.push({ ...base, code: 'KEY_FILE_UNUSED', text });
  }
  return findings;
}

function removal(deps: HouseDeps, left: readonly HousePart[]): Mend {
  return {
    does: `delete ${listed(left.map(({ path }) => nameIn(deps.vault.folders, path)))}`,
    // Whoever may be writing such a file holds the lock.
    carryOut: () =>
      deps.withLock(async () => {
        let removed = 0;
        for (const part of left) if (await removeLeftOver(part, deps.now())) removed += 1;
        const text = `deleted ${removed} of ${left.length} file(s) that a killed write had left`;
        return { text, undo: null, notes: [] };
      }),
  };
}

/** Logins that were begun, of which nothing can come any more; no grant is in them. */
async function expiredFindings(deps: HouseDeps): Promise<readonly Finding[]> {
  const { now, withLock, critical } = deps;
  const { data } = deps.vault.folders;
  const findings: Finding[] = [];
  const base = { part: 'leftover', danger: false } as const;
  const pending = pendingLoginsIn(data);
  try {
    if (
      (await pending.read())?.kind === 'pending' &&
      (await readPending({ pending, now }))?.kind === 'expired'
    ) {
      const sweep = async () => {
        await sweepPending({ pending, withLock, critical, now });
        return { text: 'removed the login that had expired', undo: null, notes: [] };
      };
      const text = 'a login that was begun with login start has expired; nothing can come of it';
      const remedy = 'codex-router login cancel';
      findings.push({
        ...base,
        code: 'PENDING_EXPIRED',
        text,
        remedy,
        mend: { does: 'remove the login that was begun and has expired', carryOut: sweep },
      });
    }
  } catch (error) {
    findings.push(unreadable(error));
  }
  const logins = chatLoginsIn(data);
  const expired: ChatOwner[] = [];
  const isExpired = async (owner: ChatOwner) => {
    // A damaged one may hold a login, and is told of as one that was left.
    const stored = await logins.read(owner).catch(() => null);
    return stored?.kind === 'begun' && isOver(stored, now());
  };
  for (const owner of await logins.owners().catch(() => [])) if (await isExpired(owner)) expired.push(owner);
  if (expired.length > 0) {
    const carryOut = async () => {
      for (const owner of expired) {
        const end = async () => ((await isExpired(owner)) ? logins.remove(owner) : undefined);
        await withGrantLock(data, owner, end, { wait: 0 });
      }
      const text = `removed ${expired.length} login(s) that were begun in a chat and had expired`;
      return { text, undo: null, notes: [] };
    };
    const text = `${expired.length} login(s) that were begun in a chat have expired; nothing can come of them, and the next login, add or import forgets them`;
    findings.push({
      ...base,
      code: 'PENDING_EXPIRED',
      text,
      remedy: null,
      mend: { does: 'remove what was begun in a chat and has expired', carryOut },
    });
  }
  return findings;
}

async function backUpFindings({ vault, now }: HouseDeps): Promise<readonly Finding[]> {
  const past = await backupsPastKeeping(join(vault.folders.data, 'backups'), now()).catch(() => []);
  if (past.length === 0) return [];
  const text = `${past.length} sealed back-up(s) are older than 30 days or beyond the newest 20 of their identity; the next back-up deletes them`;
  return [
    {
      code: 'BACKUPS_OLD',
      part: 'leftover',
      danger: false,
      text,
      remedy: 'codex-router restore',
      mend: null,
    },
  ];
}

/** What holds no login and is made anew by the command that needs it. */
async function unreadableFindings({ vault, now }: HouseDeps, { parts }: House): Promise<readonly Finding[]> {
  const { data } = vault.folders;
  const findings: Finding[] = [];
  await usageFileIn(data)
    .read()
    .catch((error: unknown) => findings.push(unreadable(error)));
  await usageHistoryIn(data)
    .read()
    .catch((error: unknown) => findings.push(unreadable(error)));
  try {
    const { note } = await failoverStateIn(data).read(now());
    if (note !== null) {
      const found = { code: 'HOUSE_UNREADABLE', part: 'leftover', danger: false, mend: null } as const;
      findings.push({ ...found, text: note.text, remedy: 'codex-router failover check' });
    }
  } catch (error) {
    findings.push(unreadable(error));
  }
  const chats = parts.find(({ role }) => role === 'chat-state');
  // Not through `chatStateIn`, which sets a damaged one aside.
  if (chats !== undefined) {
    try {
      parseVersioned((await readTextOrNull(chats.path)) ?? '', chats.path, 'RECORD_DAMAGED');
    } catch (error) {
      findings.push(unreadable(error, 'the next menu in a chat sets it aside; it holds no login'));
    }
  }
  return findings;
}

/** @throws what is no RouterError */
export function unreadable(error: unknown, remedy?: string): Finding {
  if (!(error instanceof RouterError)) throw error;
  const { message: text, hint = null } = error;
  return {
    code: 'HOUSE_UNREADABLE',
    part: 'leftover',
    danger: false,
    text,
    remedy: remedy ?? hint,
    mend: null,
  };
}
