import * as z from 'zod/mini';
import { identityOf } from '../claims.js';
import { RouterError } from '../errors.js';
import type { Holding } from '../holding.js';
import { identityKey } from '../identity.js';
import type { JsonObject } from '../json.js';
import { Secret } from '../secret.js';
import { DOUBTS, type Doubt, type IndexEntry, SOURCES } from './repo.js';

/** What an export says of itself before anything else in it. */
export const FORMAT = 'codex-router-export';
const VERSION = 1;

/** One identity as an export holds it: everything that is of use in another vault. */
export interface ArchivedLogin
  extends Pick<IndexEntry, 'alias' | 'source' | 'verified' | 'doubt' | 'addedAt' | 'updatedAt'> {
  readonly holding: Holding;
}

/** A login of an archive that is understood, or why it is not. */
export type ReadLogin =
  | { readonly login: ArchivedLogin; readonly from: string }
  | { readonly login: null; readonly from: string; readonly reason: string };

const text = z.nullable(z.string());

// As in a sealed record: taken as it is, because zod's own record drops a field named __proto__.
const object = z.custom<JsonObject>(
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
);

const Login = z.object({
  accountId: z.string(),
  userId: z.string(),
  email: text,
  plan: text,
  workspace: text,
  alias: text,
  source: z.string(),
  verified: z.boolean(),
  doubt: text,
  addedAt: z.number(),
  updatedAt: z.number(),
  grant: z.object({
    accessToken: z.string(),
    refreshToken: z.string().check(z.minLength(1)),
    idToken: text,
    expiresAt: z.number(),
    lastRefresh: z.nullable(z.number()),
    provenance: z.nullable(z.object({ issuer: z.string(), clientId: z.string() })),
  }),
  hostFields: object,
  selection: z.nullable(object),
});

const Document = z.object({
  format: z.literal(FORMAT),
  version: z.number(),
  identities: z.array(z.unknown()),
});

/** The document of an export, in the clear: bound to no vault. */
export function encodeArchive(logins: readonly ArchivedLogin[], at: number): string {
  const identities = logins.map(({ holding: { identity, grant, hostFields, selection }, ...facts }) => ({
    accountId: identity.accountId,
    userId: identity.userId,
    email: identity.email,
    plan: identity.plan,
    workspace: identity.workspace,
    ...facts,
    grant: {
      ...grant,
      accessToken: grant.accessToken.reveal(),
      refreshToken: grant.refreshToken.reveal(),
      idToken: grant.idToken?.reveal() ?? null,
    },
    hostFields,
    selection,
  }));
  const document = { format: FORMAT, version: VERSION, createdAt: new Date(at).toISOString(), identities };
  return `${JSON.stringify(document, null, 2)}\n`;
}

/**
 * What is in such a document. Fields of later releases are ignored as long as the version is the same.
 * @param from its name in sentences; no token is ever in one
 * @throws ARCHIVE_UNREADABLE when it is none, or of another version
 */
export function parseArchive(plain: string, from: string): readonly ReadLogin[] {
  const found = Document.safeParse(readJson(plain));
  if (!found.success) {
    throw unreadable(
      `${from} opens, but it is no export of codex-router`,
      'name the file that codex-router export made',
    );
  }
  const { version, identities } = found.data;
  if (version !== VERSION) {
    throw unreadable(`${from} was made by a later codex-router (version ${version})`, 'update codex-router');
  }
  return identities.map((value, place) => readLogin(value, `${from} #${place + 1}`));
}

export function unreadable(message: string, hint: string): RouterError {
  return new RouterError('ARCHIVE_UNREADABLE', message, { hint });
}

function readLogin(value: unknown, place: string): ReadLogin {
  const found = Login.safeParse(value);
  if (!found.success) {
    const field = found.error.issues[0]?.path.map(String).join('.') ?? '';
    return {
      login: null,
      from: place,
      reason: `it is no login as an export holds it (${field || 'not an object'})`,
    };
  }
  const { grant, hostFields, selection, accountId, userId, email, plan, workspace, ...facts } = found.data;
  const from = `${place} (${email ?? accountId})`;
  const accessToken = new Secret(grant.accessToken);
  const idToken = grant.idToken === null ? null : new Secret(grant.idToken);
  try {
    // A file's word is not enough: its own tokens tell whose it is.
    const identity = { ...identityOf(accessToken, { accountId, idToken, email, plan }), workspace };
    if (identity.userId !== userId) {
      const said = `${accountId}/${userId}`;
      return { login: null, from, reason: `it says ${said}, and its tokens are of ${identityKey(identity)}` };
    }
    const refreshToken = new Secret(grant.refreshToken);
    const holding = {
      identity,
      grant: { ...grant, accessToken, refreshToken, idToken },
      hostFields,
      selection,
    };
    const { alias, verified, addedAt, updatedAt } = facts;
    const known = { source: sourceOf(facts.source), doubt: doubtOf(facts.doubt) };
    return { login: { holding, alias, verified, addedAt, updatedAt, ...known }, from };
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    return { login: null, from, reason: error.message };
  }
}

/** A later release may know more of them. */
function sourceOf(name: string): IndexEntry['source'] {
  return SOURCES.find((source) => source === name) ?? 'archive';
}

function doubtOf(name: string | null): Doubt | null {
  return name === null ? null : (DOUBTS.find((doubt) => doubt === name) ?? 'restored');
}

function readJson(plain: string): unknown {
  try {
    return JSON.parse(plain) as unknown;
  } catch {
    return undefined;
  }
}
