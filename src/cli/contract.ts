import * as z from 'zod';
import { SOURCES } from '../repo/repo.js';
import { CHANGED_FIELDS } from '../router/import-difference.js';
import { hostRouting } from './contract-hosts.js';
import { accountId, done, listed, milliseconds, note, person, slot, userId } from './contract-parts.js';

/**
 * The documents that `--json` prints: the promise to programs. docs/schemas is made from these, and every document a test
 * sees is validated against it. Loaded by tests and by the schema generator only: the commands take the types.
 */

export const ErrorDocument = z.strictObject({
  schemaVersion: z.literal(1),
  ok: z.literal(false),
  error: z.strictObject({
    code: z.string(),
    message: z.string(),
    hint: z.string().nullable(),
    candidates: z.array(person).optional(),
  }),
});

export const ListDocument = z.strictObject({
  ...done,
  identities: z.array(listed),
  slot: slot.nullable(),
  occupant: person.nullable().describe('who is in the slot, stored here or not'),
  notes: z.array(note),
});

const key = z.strictObject({
  kind: z.enum(['keychain', 'file', 'passphrase', 'credential']),
  primary: z.boolean(),
  addedAt: milliseconds,
  path: z.string().nullable().describe('where the key file lies'),
  where: z.string().nullable().describe('where the key lies, in words; null for what a person types'),
});

/** An error that is told and did not end the command. */
const failure = z.strictObject({ code: z.string(), message: z.string(), hint: z.string().nullable() });

export const StatusDocument = z.strictObject({
  ...done,
  identities: z.int().nullable().describe('null where the index cannot be read'),
  host: z
    .strictObject({
      stateDir: z.string(),
      layout: z.string(),
      release: z.strictObject({ version: z.string(), source: z.string() }).nullable(),
      provider: z.string(),
    })
    .nullable(),
  trouble: failure.nullable().describe('why there is no host; the command itself has succeeded'),
  slots: z.array(
    slot.extend({
      occupant: person.nullable(),
      stored: z.boolean(),
      selectable: z.boolean().describe('order and lastGood lead to it, and to no other login'),
      others: z.int().describe('other logins of the provider in the same store'),
      problem: z.string().nullable(),
      gateway: z
        .strictObject({
          taken: z
            .enum(['yes', 'no', 'no-gateway', 'unknown'])
            .describe('whether the running gateway has what is in the slot'),
          holds: person.nullable().describe('whose login it still has, where that can be told'),
          why: z.string().nullable(),
        })
        .nullable()
        .describe('null where there is no login that it could have'),
    }),
  ),
  session: z
    .strictObject({
      agent: z.string(),
      key: z.string().nullable(),
      why: z.string().describe('why it is the current one, or why none is'),
      pinnedTo: z.string().nullable(),
      pinnedBy: z
        .enum(['person', 'host'])
        .nullable()
        .describe('host: OpenClaw itself, which may choose again'),
      isSlot: z.boolean().nullable(),
      companions: z.array(z.strictObject({ key: z.string(), pinnedTo: z.string().nullable() })),
    })
    .nullable(),
  interrupted: z.strictObject({ at: milliseconds, step: z.enum(['begun', 'swapped']) }).nullable(),
  vault: z.strictObject({
    exists: z.boolean().nullable().describe('null where it cannot be read'),
    folder: z.string().nullable(),
    keySources: z.array(z.string()),
    keys: z.array(key.pick({ kind: true, primary: true, where: true })),
    warnings: z.array(z.string()),
  }),
  notes: z.array(note),
});

const store = z.strictObject({
  path: z.string(),
  format: z.enum(['json', 'sqlite']),
  holds: z.enum(['logins', 'selection', 'sessions']),
  agent: z.string().nullable().describe('null for the store all agents share'),
  schema: z.int().nullable().describe('user_version of SQLite'),
  state: z.enum(['used', 'empty', 'leftover', 'unreadable', 'unknown']),
  profiles: z.array(z.string()),
  trouble: z.string().nullable(),
});
const residue = z.strictObject({
  files: z.array(
    z.strictObject({
      path: z.string(),
      kind: z.enum(['archive', 'leftover', 'database', 'sealed']),
      readableByOthers: z.boolean(),
      logins: z.array(
        z.strictObject({
          accountId: accountId.nullable().describe('null where the tokens do not tell'),
          userId: userId.nullable(),
          email: z.string().nullable(),
          live: z
            .enum(['same-as-slot', 'same-as-profile', 'other'])
            .describe('whether OpenClaw runs on this very login now'),
          expiresAt: milliseconds.nullable().describe('of the access token'),
          expired: z.boolean().nullable(),
        }),
      ),
    }),
  ),
  notLookedAt: z.array(z.strictObject({ path: z.string(), reason: z.string() })),
});

export const HostDocument = z.strictObject({
  ...done,
  stateDir: z.string(),
  layout: z.string().nullable(),
  release: z.strictObject({ version: z.string(), source: z.string() }).nullable(),
  provider: z.string().nullable(),
  profileId: z.string().nullable().describe('the slot'),
  via: z.enum(['direct', 'sdk']).nullable().describe('how a switch writes; null when it would be refused'),
  reasons: z.array(note),
  stores: z.array(store),
  agents: z.array(
    z.strictObject({
      id: z.string(),
      isDefault: z.boolean(),
      runsOn: z.enum(['own', 'main', 'copy', 'unknown']),
      trouble: z.string().nullable(),
    }),
  ),
  locks: z.array(z.strictObject({ kind: z.enum(['file', 'transaction']), path: z.string() })),
  gateway: z.strictObject({ pid: z.int(), port: z.int() }).nullable(),
  refusal: failure.nullable().describe('why nothing would be written here; the command itself has succeeded'),
  residue: residue.nullable().describe('null without --residue'),
  notes: z.array(note),
});

export const HostAdoptDocument = z.strictObject({
  ...done,
  result: z.enum(['adopted', 'planned', 'unchanged']),
  stateDir: z.string(),
  was: z
    .enum(['nobody', 'ours', 'other', 'ahead', 'unreadable'])
    .describe('whose it was; ahead: of a later state of this vault, or of a copy of it'),
  ownerVault: z.string().nullable().describe('the vault id in the owner file before'),
  checkedIn: z.array(
    z.strictObject({ accountId, userId, result: z.enum(['taken-home', 'imported', 'repo-newer']) }),
  ),
  doubted: z.array(person).describe('not used any more until they are logged in or imported again'),
  notes: z.array(note),
});

export const AliasDocument = z.strictObject({
  ...done,
  result: z.enum(['set', 'removed']),
  identity: person,
});

export const RemoveDocument = z.strictObject({
  ...done,
  result: z.enum(['removed', 'planned']),
  identity: person,
  clearedSlots: z.array(slot),
  unpinned: z.array(z.string()),
  next: z.array(z.string()).describe('the profile ids OpenClaw has left for its turns'),
  notes: z.array(note),
});

export const RestoreDocument = z.strictObject({
  ...done,
  result: z.enum(['listed', 'planned', 'restored', 'unchanged']),
  backUps: z
    .array(
      z.strictObject({
        number: z.int().describe('counts from the newest, 1; moves with every new back-up'),
        id: z.string().describe('stays'),
        at: milliseconds,
        identity: person.nullable().describe('null when it cannot be opened'),
        reason: z.string().nullable(),
        isStored: z
          .boolean()
          .nullable()
          .describe('whether that very login is stored now; null when it cannot be opened'),
        trouble: z.string().nullable().describe('why it cannot be opened'),
      }),
    )
    .describe('newest first; the one that was chosen unless they are listed'),
  sealed: z.boolean().describe('whether a stored login gave way, or would, and is sealed as a back-up'),
  notes: z.array(note),
});

const difference = {
  from: z.string().describe('where it was found'),
  source: z.enum(SOURCES),
  grant: z.enum(['new', 'same', 'another']).describe('beside the stored login of this identity'),
  newer: z.boolean().nullable().describe('whether another login is the later one; null: it cannot be told'),
  changes: z
    .array(
      z.strictObject({
        field: z.enum(CHANGED_FIELDS),
        from: z.string().nullable(),
        to: z.string().nullable(),
      }),
    )
    .describe('what differs from the stored one; times are ISO 8601'),
};

export const ImportDocument = z.strictObject({
  ...done,
  result: z
    .enum(['imported', 'unchanged', 'planned', 'routed', 'already-routed'])
    .describe(
      'planned: a dry run, nothing was written; routed: the OpenClaw was turned into a routed one (--take)',
    ),
  imported: z.array(
    z.strictObject({
      identity: person,
      result: z.enum(['added', 'updated', 'unchanged', 'replaced']),
      shared: z.enum(['codex']).nullable(),
      verified: z.boolean(),
      ...difference,
    }),
  ),
  refused: z
    .array(z.strictObject({ identity: person, code: z.string(), reason: z.string(), ...difference }))
    .describe('understood, and not stored'),
  skipped: z.array(z.strictObject({ from: z.string(), reason: z.string() })),
  routing: hostRouting.optional().describe('only with --from openclaw --take'),
  notes: z.array(note),
});

const vault = z.strictObject({
  exists: z.boolean(),
  folder: z.string(),
  formatVersion: z.int(),
  vaultId: z.string().nullable(),
  identities: z.int(),
  keys: z.array(key),
  warnings: z.array(z.string()),
});
const check = z.strictObject({
  opened: z.literal(true),
  records: z.int(),
  rebuilt: z.int(),
  removed: z.int(),
});

export const VaultStatusDocument = z.strictObject({ ...done, vault, check: check.nullable() });

export const VaultInitDocument = z.strictObject({ ...done, vault });

export const VaultKeysDocument = z.strictObject({
  ...done,
  added: key.shape.kind,
  replaced: z.array(key.shape.kind),
  keys: z.array(key),
});
