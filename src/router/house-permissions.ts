import { type House, type HousePart, nameIn } from '../repo/house.js';
import { closeToOthers } from '../repo/house-mends.js';
import { shellWord } from '../text.js';
import type { Finding } from './finding.js';
import type { HouseDeps } from './house-findings.js';

/** Whose what is ours is, and who else may read it. Nothing on Windows, where no such bits are. */
export function permissionFindings(
  { vault, platform }: HouseDeps,
  { parts, troubles }: House,
): readonly Finding[] {
  const { folders } = vault;
  const me = process.geteuid?.();
  if (platform === 'win32' || me === undefined) return [];
  const findings: Finding[] = [];
  const named = (some: readonly HousePart[]) => listed(some.map(({ path }) => nameIn(folders, path)));
  const base = { part: 'permissions', danger: false, remedy: null, mend: null } as const;
  for (const { message, hint = null } of troubles)
    findings.push({ ...base, code: 'HOUSE_UNREADABLE', text: message, remedy: hint });
  const foreign = parts.filter(({ uid }) => uid !== me);
  if (foreign.length > 0) {
    const text = `${named(foreign)} in ${folders.data} belongs to another user: codex-router was run as somebody else, say with sudo`;
    findings.push({ ...base, code: 'HOUSE_FOREIGN', text });
  }
  // A link to a key file is followed on purpose; the data folder is reached through one without harm.
  const links = parts.filter(({ kind, role }) => kind === 'link' && !LINKED.has(role));
  if (links.length > 0) {
    const text = `${named(links)} is a link: codex-router writes to what it names, wherever that is, and does not look after its permissions`;
    findings.push({ ...base, code: 'HOUSE_LINKED', text });
  }
  const own = parts.filter(
    ({ uid, kind, role }) => uid === me && (kind === 'file' || kind === 'folder') && role !== 'unknown',
  );
  const open = own.filter(({ mode }) => (mode & 0o077) !== 0);
  const isKeyOpen = open.some(({ role, kind }) => role === 'key-file' && kind === 'file');
  if (open.length > 0) {
    const what = isKeyOpen ? ': the key of the vault is among it, so think of who may have read it' : '';
    const text = `others than you may read or change ${named(open)}${what}`;
    findings.push({ ...base, code: 'HOUSE_OPEN', danger: isKeyOpen, text, mend: closing(open, named(open)) });
  }
  const closed = own.filter(
    ({ mode, kind }) => (mode & 0o077) === 0 && mode !== (kind === 'folder' ? 0o700 : 0o600),
  );
  // What its owner cannot read cannot be opened either, and is changed by nothing but its name.
  const shut = closed.filter(({ mode }) => (mode & 0o400) === 0);
  for (const some of [shut, closed.filter((part) => !shut.includes(part))]) {
    if (some.length === 0) continue;
    const text = `${named(some)} has other permissions than codex-router gives it (0600, folders 0700), so that it may not be read or written`;
    const remedy = some === shut ? `chmod u+rwX ${some.map(({ path }) => shellWord(path)).join(' ')}` : null;
    findings.push({
      ...base,
      code: 'HOUSE_MODE',
      text,
      remedy,
      mend: some === shut ? null : closing(some, named(some)),
    });
  }
  return findings;
}

const LINKED: ReadonlySet<HousePart['role']> = new Set(['key-file', 'data-folder', 'config-folder']);

function closing(parts: readonly HousePart[], names: string): Finding['mend'] {
  return {
    does: `give ${names} the permissions 0600, folders 0700`,
    carryOut: async () => {
      for (const part of parts) await closeToOthers(part);
      return { text: `only you can read ${names} now`, undo: null, notes: [] };
    },
  };
}

/** The first few, and how many more. */
export function listed(names: readonly string[]): string {
  const shown = names.slice(0, 4);
  const rest = names.length - shown.length;
  return rest === 0 ? shown.join(', ') : `${shown.join(', ')} and ${rest} more`;
}
