import { LAYERS } from './explain-layers.js';
import type { Finding, Part } from './finding.js';

/** Every code of a finding, in the order in which they are shown: logins and their holders first. */
// biome-ignore format: words, as many in a line as it holds
export const FINDING_CODES = [
  'HOST_OWNED', 'VAULT_ROLLED_BACK', 'OWNER_UNREADABLE', 'HOST_CLOSED', 'GRANT_DUPLICATE', 'GRANT_SPENT',
  'GRANT_OLDER', 'STORED_TWICE', 'HELD_OUTSIDE', 'HOLDER_UNREADABLE', 'HOLDER_UNKNOWN', 'LENT_UNFINISHED',
  'LENT_GONE', 'LENT_EXPIRED', 'LOGIN_DOUBTFUL', 'SWITCH_UNFINISHED', 'JOURNAL_DAMAGED',
  // what the host's files, order, pins and gateway say
  'CODEX_OVERWRITES', 'LOCK_FOLDER', 'FILE_OPEN', 'FILE_FOREIGN', 'FILE_LINKED', 'STORE_LEFT',
  'PROFILE_REFUSED', 'ORDER_IN_CONFIG', 'ORDER_ELSEWHERE', 'REST_STALE', 'PIN_ORPHANED', 'GATEWAY_BEHIND',
  'SLOT_RESTING', 'LOCK_LEFT', 'LOCK_HELD', 'LOGIN_COPIES', 'TEMPORARY_LEFT', 'NOT_LOOKED_AT',
  // codex-router's own house
  'RECORD_MISSING', 'RECORD_DAMAGED', 'VAULT_CLOSED', 'VAULT_MISSING', 'KEY_GONE', 'KEY_UNUSABLE',
  'INDEX_DAMAGED', 'INDEX_MISSING', 'INDEX_BEHIND', 'REMOVAL_UNFINISHED', 'RECORD_UNKNOWN', 'HOUSE_OPEN',
  'HOUSE_MODE', 'HOUSE_FOREIGN', 'HOUSE_LINKED', 'HOUSE_UNREADABLE', 'OWN_LOCK_BLOCKED', 'OWN_LOCK_HELD',
  'OWN_LOCK_LEFT', 'HOUSE_TEMPORARY', 'HOUSE_SET_ASIDE', 'HOUSE_UNKNOWN', 'KEY_FILE_UNUSED',
  'PENDING_EXPIRED', 'BACKUPS_OLD', 'CLOCK_BEHIND', 'CLOCK_AHEAD_BEFORE', 'CLOCK_SET_BACK', 'NOT_LISTED',
  'ADD_UNFINISHED', 'LOGIN_LEFT',
  // the layers of `explain`
  'SLOT_DISAGREES', 'ORDER_DISAGREES', 'PIN_DISAGREES', 'EFFECTIVE_DISAGREES', 'USAGE_DISAGREES',
  'LABEL_DISAGREES',
] as const;

export type FindingCode = (typeof FINDING_CODES)[number];

/** In which order parts are mended: what others rest on first, then the layers in their own order. */
export const MEND_ORDER: readonly Part[] = [
  'lock',
  'permissions',
  'leftover',
  'vault',
  'custody',
  ...LAYERS,
  'clock',
];

/** Findings in the order in which they are shown: those in danger first. */
export function inOrder(findings: readonly Finding[]): readonly Finding[] {
  const place = ({ code }: Finding) => FINDING_CODES.indexOf(code);
  return [...findings].sort((a, b) => Number(b.danger) - Number(a.danger) || place(a) - place(b));
}
