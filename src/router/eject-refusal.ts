import { identityOf } from '../claims.js';
import { RouterError } from '../errors.js';
import type { Holding } from '../holding.js';
import { identityKey, sameIdentity } from '../identity.js';
import type { IndexEntry, OpenRepo } from '../repo/repo.js';
import type { RecoverDeps } from './recover.js';
import { LOG_IN_AGAIN } from './remedies.js';
import { nameOf, selectorOf } from './resolve.js';

type Refusal = { readonly why: string; readonly remedy: string };

/** Why a login that is not in this OpenClaw does not go into it; null when nothing speaks against it. */
export async function refusalOf(
  { host, now }: Pick<RecoverDeps, 'host' | 'now'>,
  entry: IndexEntry,
  holder: { readonly name: string; readonly remedy: string } | undefined,
  twin: IndexEntry | undefined,
): Promise<Refusal | null> {
  const selector = selectorOf(entry);
  if (twin !== undefined)
    return { why: `it is the very login of ${nameOf(twin)}`, remedy: 'codex-router doctor' };
  if (holder !== undefined) return { why: `${holder.name} holds it`, remedy: holder.remedy };
  if (entry.sharedWith !== null)
    return { why: 'a Codex home has a copy of it', remedy: 'codex-router import --take' };
  switch (entry.doubt) {
    case 'login-needed':
      return { why: 'the issuer has ended it', remedy: LOG_IN_AGAIN };
    case 'refresh-sent':
      return {
        why: 'its last refresh got no answer, so it may be spent',
        remedy: `codex-router refresh ${selector}`,
      };
    case 'revoke-sent':
      return { why: 'its logout was begun and did not end', remedy: `codex-router logout ${selector}` };
    case 'lost-outside':
      return { why: 'Codex had it and may have spent it', remedy: `codex-router refresh ${selector}` };
    case 'restored':
      return { why: 'it may be an old one', remedy: `codex-router refresh ${selector}` };
    case 'refresh-failed':
      return {
        why: 'a refresh of it failed, so it may be spent',
        remedy: `codex-router refresh ${selector}`,
      };
    case 'taken-over':
      return { why: 'another codex-router may have spent it', remedy: LOG_IN_AGAIN };
    default:
  }
  try {
    await host.admit(entry.expiresAt, now());
    return null;
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    return { why: error.message, remedy: error.hint ?? 'codex-router host' };
  }
}

/** What goes to the host, or why not: the record's own tokens must say what its key says. */
export async function soundHolding(repo: OpenRepo, { identity }: IndexEntry): Promise<Holding | RouterError> {
  const key = identityKey(identity);
  try {
    const holding = await repo.load(key);
    const said = identityOf(holding.grant.accessToken);
    if (sameIdentity(said, identity)) return holding;
    return new RouterError('IDENTITY_MISMATCH', `its stored tokens belong to ${identityKey(said)}`, {
      hint: LOG_IN_AGAIN,
    });
  } catch (error) {
    if (error instanceof RouterError && ['RECORD_DAMAGED', 'IDENTITY_UNREADABLE'].includes(error.code))
      return error;
    throw error;
  }
}
