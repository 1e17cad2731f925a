import { isTemporary } from '../os/atomic.js';

/** What a file or folder of ours is for. */
export type HouseRole = (typeof HOUSE_ROLES)[number];

// biome-ignore format: words, as many in a line as it holds
export const HOUSE_ROLES = [
  'data-folder', 'config-folder', 'vault', 'index', 'record', 'back-up', 'journal', 'usage', 'usage-history',
  'pending-login', 'chat-state', 'chat-login', 'arriving-login', 'codex-home', 'mend-back-up', 'settings',
  'failover-state', 'failover-log', 'watch-lock', 'key-file', 'folder', 'lock', 'room', 'temporary',
  'set-aside', 'unknown',
] as const;

const RECORD = '[0-9a-f]{32}';
const MADE_BY = '[1-9]\\d*-\\d+-[0-9a-f]{12}';

/** The files of the data folder but for vault.json, which goes last, and the lock. */
const HOUSE_FILES: { readonly [name: string]: HouseRole } = {
  'index.json': 'index',
  'journal.jsonl': 'journal',
  'pending-login.json': 'pending-login',
  'usage.json': 'usage',
  'usage-history.jsonl': 'usage-history',
  'chat-state.json': 'chat-state',
  room: 'room',
};

/** Its folders, with what the names in them look like; of some, names that are something else. */
export const HOUSE_FOLDERS: {
  readonly [folder: string]: {
    readonly role: HouseRole;
    readonly names: RegExp;
    readonly others?: { readonly [name: string]: HouseRole };
  };
} = {
  records: { role: 'record', names: new RegExp(`^${RECORD}$`) },
  backups: { role: 'back-up', names: new RegExp(`^\\d{13,16}-${RECORD}-[0-9a-f]{8}$`) },
  locks: { role: 'lock', names: new RegExp(`^${RECORD}$`) },
  'codex-homes': { role: 'codex-home', names: new RegExp(`^${MADE_BY}$`) },
  arriving: { role: 'arriving-login', names: new RegExp(`^${MADE_BY}\\.json$`) },
  mends: { role: 'mend-back-up', names: /^\d{13,16}-[0-9a-f]{8}\.json$/ },
  'chat-logins': { role: 'chat-login', names: new RegExp(`^${RECORD}\\.json$`) },
  failover: {
    role: 'failover-log',
    names: /^(?:events(?:\.[1-3])?\.jsonl|salt)$/,
    others: { 'state.json': 'failover-state', 'watch.lock': 'watch-lock' },
  },
};

const VAULT_FILE = 'vault.json';

/** Held while a command writes, and gone with its release. */
export const ROUTER_LOCK = 'router.lock';

/** What a person has set; beside the key file, in the config folder. */
export const SETTINGS_FILE = 'config.json';

/** A key file that got the name we give it. */
export const KEY_FILE = /^vault-[0-9a-f-]{36}\.[0-9a-f]{8}\.key$/;

const SET_ASIDE = '.damaged';

/** What a name in the data folder is, by the name alone. */
export function roleInData(name: string): HouseRole {
  if (name === VAULT_FILE) return 'vault';
  if (name === ROUTER_LOCK) return 'lock';
  if (Object.hasOwn(HOUSE_FOLDERS, name)) return 'folder';
  return specialRole(name, (plain) =>
    Object.hasOwn(HOUSE_FILES, plain) ? (HOUSE_FILES[plain] ?? null) : null,
  );
}

/** What a name in one of its folders is. */
export function roleInFolder(folder: string, name: string): HouseRole {
  const known = HOUSE_FOLDERS[folder];
  return specialRole(name, (plain) => {
    if (known === undefined) return null;
    const { role, names, others = {} } = known;
    return Object.hasOwn(others, plain) ? (others[plain] ?? null) : names.test(plain) ? role : null;
  });
}

function specialRole(name: string, roleOf: (plain: string) => HouseRole | null): HouseRole {
  if (isTemporary(name)) return 'temporary';
  const own = roleOf(name);
  if (own !== null) return own;
  const isAside = name.endsWith(SET_ASIDE) && roleOf(name.slice(0, -SET_ASIDE.length)) !== null;
  return isAside ? 'set-aside' : 'unknown';
}
