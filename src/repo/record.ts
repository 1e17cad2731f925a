import * as z from 'zod/mini';
import { RouterError } from '../errors.js';
import type { Holding } from '../holding.js';
import { identityKey, parseAccountId, parseUserId } from '../identity.js';
import type { JsonObject } from '../json.js';
import { Secret } from '../secret.js';
import { damage, FORMAT_VERSION, parseVersioned } from './format.js';
import { parsePlacement } from './index-format.js';
import { DOUBTS, type IndexEntry, type Placement, SOURCES } from './repo.js';
import { seal, unseal } from './seal.js';
import type { Vault } from './vault.js';

const header = z.looseObject({
  version: z.literal(FORMAT_VERSION),
  /** `<accountId>/<userId>`: whose record this says it is; authenticated. */
  identity: z.string(),
  /** Authenticated; tells a crash between record and index from a record put back. */
  revision: z.int().check(z.positive()),
  nonce: z.string(),
  sealed: z.string(),
});

/** What a sealed file says of itself in the clear. */
export type RecordHeader = z.infer<typeof header>;

// Taken as it is: zod's record rebuilds the object and drops a field named __proto__.
const object = z.custom<JsonObject>(
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
);
const payloadFormat = z.looseObject({
  version: z.literal(FORMAT_VERSION),
  identity: z.looseObject({
    accountId: z.string(),
    userId: z.string(),
    email: z.nullable(z.string()),
    plan: z.nullable(z.string()),
    workspace: z.nullable(z.string()),
  }),
  grant: z.looseObject({
    accessToken: z.string(),
    refreshToken: z.string().check(z.minLength(1)),
    idToken: z.nullable(z.string()),
    expiresAt: z.number(),
    lastRefresh: z.nullable(z.number()),
    provenance: z.nullable(z.object({ issuer: z.string(), clientId: z.string() })),
  }),
  hostFields: object,
  selection: z.nullable(object),
  facts: z.looseObject({
    alias: z.nullable(z.string()),
    source: z.enum(SOURCES),
    verified: z.boolean(),
    sharedWith: z.nullable(z.literal('codex')),
    // What these were when this was sealed; the index knows what came after.
    doubt: z.optional(z.nullable(z.enum(DOUBTS))),
    placement: z.optional(z.nullable(z.custom<Placement>((value) => parsePlacement(value) !== undefined))),
    addedAt: z.number(),
    updatedAt: z.number(),
  }),
});

/** What the index knows of an identity and its record repeats, so that an index can be rebuilt from records. */
export type RecordFacts = Pick<
  IndexEntry,
  'alias' | 'source' | 'verified' | 'sharedWith' | 'addedAt' | 'updatedAt'
> & {
  /** Undefined in a record of a release that did not write them. */
  readonly doubt?: IndexEntry['doubt'] | undefined;
  readonly placement?: IndexEntry['placement'] | undefined;
};

export interface OpenedRecord {
  readonly holding: Holding;
  readonly facts: RecordFacts;
}

/** A record's file text. `mark` is its revision; a back-up passes its own kind of mark, so that neither opens as the other. */
export function sealRecord(
  vault: Vault,
  record: OpenedRecord,
  revision: number,
  mark = `${revision}`,
): string {
  const key = identityKey(record.holding.identity);
  const plain = Buffer.from(encodePayload(record), 'utf8');
  const box = seal(vault.recordKey, boundTo(vault.vaultId, key, mark), plain);
  return `${JSON.stringify({ version: FORMAT_VERSION, identity: key, revision, ...box })}\n`;
}

/** @throws VAULT_NEWER, RECORD_DAMAGED */
export function parseHeader(text: string, path: string): RecordHeader {
  const found = header.safeParse(parseVersioned(text, path, 'RECORD_DAMAGED'));
  if (!found.success) throw damage(path, 'its header is not as it must be', 'RECORD_DAMAGED');
  return found.data;
}

/** @throws RECORD_DAMAGED when it was altered, or sealed for another vault, identity or revision. */
export function openRecord(
  vault: Vault,
  head: RecordHeader,
  key: string,
  path: string,
  mark = `${head.revision}`,
): OpenedRecord {
  const plain = unseal(vault.recordKey, boundTo(vault.vaultId, key, mark), head);
  if (plain === null) {
    throw new RouterError(
      'RECORD_DAMAGED',
      `the sealed record of ${key} was altered or belongs to another vault`,
      {
        hint: `put ${path} back from a backup, or codex-router login, as that account`,
      },
    );
  }
  return parsePayload(plain.toString('utf8'), path);
}

function boundTo(vaultId: string, key: string, mark: string): string {
  return `codex-router|${FORMAT_VERSION}|${vaultId}|${key}|${mark}`;
}

function encodePayload({ holding, facts }: OpenedRecord): string {
  const { identity, grant, hostFields, selection } = holding;
  return JSON.stringify({
    version: FORMAT_VERSION,
    identity,
    grant: {
      ...grant,
      accessToken: grant.accessToken.reveal(),
      refreshToken: grant.refreshToken.reveal(),
      idToken: grant.idToken?.reveal() ?? null,
    },
    hostFields,
    selection,
    facts,
  });
}

function parsePayload(text: string, path: string): OpenedRecord {
  const found = payloadFormat.safeParse(parseVersioned(text, path, 'RECORD_DAMAGED'));
  if (!found.success) throw damage(path, 'what is sealed in it is not a login', 'RECORD_DAMAGED');
  const { identity, grant, hostFields, selection, facts } = found.data;
  return {
    holding: {
      identity: {
        ...identity,
        accountId: parseAccountId(identity.accountId),
        userId: parseUserId(identity.userId),
      },
      grant: {
        ...grant,
        accessToken: new Secret(grant.accessToken),
        refreshToken: new Secret(grant.refreshToken),
        idToken: grant.idToken === null ? null : new Secret(grant.idToken),
      },
      hostFields,
      selection,
    },
    facts,
  };
}
