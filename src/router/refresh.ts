import { identityOf } from '../claims.js';
import { RouterError } from '../errors.js';
import type { Grant } from '../grant.js';
import type { Holding } from '../holding.js';
import { type Identity, identityKey, sameIdentity } from '../identity.js';
import type { Who } from '../repo/journal.js';
import type { Doubt, IndexEntry, OpenRepo } from '../repo/repo.js';
import type { Host } from '../slot/host.js';
import type { Slot, SlotReading } from '../slot/slot.js';
import { type CustodyDeps, holderOf } from './custody.js';
import { everySlot } from './every-slot.js';
import { LOG_IN_AGAIN, LOG_IN_AS_WANTED } from './remedies.js';
import { entryOf } from './resolve.js';
import type { RefreshAnswer, TokenEndpoint } from './token-endpoint.js';

export interface RefreshDeps extends CustodyDeps {
  /** Null when there is no OpenClaw here: then no slot can hold the identity. */
  readonly host: Host | null;
  readonly endpoint: TokenEndpoint;
  /** @param waitMs ms to wait for another holder; the default is for what can be asked again. */
  withLock<T>(work: () => Promise<T>, waitMs?: number): Promise<T>;
  /** The lock of one identity's grant; taken before `withLock`, held across the request. */
  withGrantLock<T>(who: Who, work: () => Promise<T>): Promise<T>;
  critical<T>(work: () => Promise<T>): Promise<T>;
  readonly now: () => number;
  /** Waits before the one retry of an unanswered request. */
  readonly pause: (ms: number) => Promise<void>;
}

/**
 * `refreshed`: new tokens are stored. `held`: it is not parked, its holder refreshes it. `login-needed`: the issuer has refused it
 * for good, now or before; the stored access token is kept. `failed`: the token was not spent. `unanswered`: it may be spent; the next
 * command asks again with the same one. `superseded`: another login was stored while the request was under way; what came is sealed.
 * `doubtful`: it may be an old or another's grant, so it is not asked about unless it is meant by name.
 */
export type RefreshResult =
  | 'refreshed'
  | 'held'
  | 'login-needed'
  | 'failed'
  | 'unanswered'
  | 'superseded'
  | 'doubtful';

export interface Refreshed {
  readonly entry: IndexEntry;
  readonly result: RefreshResult;
  /** Who holds it, or what went wrong, in words; null for `refreshed`. */
  readonly why: string | null;
  /** The command that helps; null where nothing does or need be done. */
  readonly remedy: string | null;
}

/** ms after which a request without an answer is repeated, once, with the same token: the issuer forgives that for a while (docs/custody.md). */
const RETRY_MS = 2000;

/** ms that the tokens of an answer wait for another command to end: there is no second copy of them. */
const PATIENT_MS = 15 * 60 * 1000;

/**
 * Why a refresh is asked for. `named`: a person means this identity, so a grant restored from a back-up is tried too. `round`: it is one of
 * many. `settle`: only if an earlier one was sent and got no answer.
 */
export type RefreshOccasion = 'named' | 'round' | 'settle';

/**
 * Refreshes one parked identity: under the lock of its grant, marked before the request leaves, and stored durably before anything may
 * use the new token. What goes wrong changes no token.
 * Null for `settle` where nothing was left to be settled, once the lock of its grant was had.
 * @throws IDENTITY_MISMATCH when another person's tokens came back: they are sealed as a back-up, nothing of the old identity is overwritten.
 *   ISSUER_FOREIGN, IDENTITY_NOT_FOUND, RECORD_DAMAGED, BUSY, IO; then nothing was sent
 */
export async function refresh(
  deps: RefreshDeps,
  repo: OpenRepo,
  who: Identity,
  occasion: RefreshOccasion,
): Promise<Refreshed | null> {
  return deps.withGrantLock(who, () =>
    deps.critical(async () => {
      const before = await deps.withLock(() => begin(deps, repo, who, occasion));
      if (before === null || !('holding' in before)) return before;
      const answer = await ask(deps, before.holding.grant).catch(async (error: unknown) => {
        // The one refusal of which it is known that nothing was sent.
        const isUnsent = error instanceof RouterError && error.code === 'ISSUER_FOREIGN';
        const unmark = () => repo.doubt(identityKey(who), before.entry.doubt);
        if (isUnsent) await deps.withLock(unmark, PATIENT_MS);
        throw error;
      });
      return deps.withLock(() => settle(repo, before, answer), PATIENT_MS);
    }),
  );
}

/**
 * `refresh` for one of many: what is wrong with this one login is its result and does not stop the others.
 * @throws BUSY; what is no RouterError
 */
export async function refreshOrFail(
  deps: RefreshDeps,
  repo: OpenRepo,
  entry: IndexEntry,
  occasion: Exclude<RefreshOccasion, 'named'>,
): Promise<Refreshed | null> {
  try {
    return await refresh(deps, repo, entry.identity, occasion);
  } catch (error) {
    if (!(error instanceof RouterError) || error.code === 'BUSY') throw error;
    return { entry, result: 'failed', why: error.message, remedy: error.hint ?? null };
  }
}

interface Begun {
  readonly entry: IndexEntry;
  readonly holding: Holding;
}

/** Decides on what is there now, and leaves a durable mark that this token is about to be sent. */
async function begin(
  deps: RefreshDeps,
  repo: OpenRepo,
  who: Identity,
  occasion: RefreshOccasion,
): Promise<Begun | Refreshed | null> {
  const key = identityKey(who);
  const entry = entryOf(who, await repo.list());
  // It may only have been under way in another process, which has held this lock until now.
  if (occasion === 'settle' && entry.doubt !== 'refresh-sent') return null;
  const refusal = await refusalOf(deps, repo, entry, occasion);
  if (refusal !== null) return { entry, ...refusal };
  const holding = await repo.load(key);
  await repo.doubt(key, 'refresh-sent');
  return { entry, holding };
}

async function refusalOf(
  deps: RefreshDeps,
  repo: OpenRepo,
  entry: IndexEntry,
  occasion: RefreshOccasion,
): Promise<Omit<Refreshed, 'entry'> | null> {
  if (entry.doubt === 'login-needed') {
    return { result: 'login-needed', why: 'the issuer has ended this login', remedy: LOG_IN_AGAIN };
  }
  if (entry.doubt === 'taken-over') {
    return { result: 'doubtful', why: 'another codex-router has taken it over', remedy: LOG_IN_AGAIN };
  }
  if (entry.doubt === 'lost-outside' && occasion !== 'named') {
    const remedy = `codex-router refresh ${identityKey(entry.identity)} tries it`;
    return { result: 'doubtful', why: 'Codex had it, and may have spent or revoked it', remedy };
  }
  if (entry.doubt === 'restored' && occasion !== 'named') {
    const remedy = `codex-router refresh ${identityKey(entry.identity)} tries it`;
    return {
      result: 'doubtful',
      why: 'it was put back from a back-up or an export and may have been spent',
      remedy,
    };
  }
  if (entry.doubt === 'revoke-sent' && occasion !== 'named') {
    const remedy = `codex-router logout ${identityKey(entry.identity)} ends it, codex-router refresh tries it`;
    return { result: 'doubtful', why: 'its logout was begun and did not end', remedy };
  }
  if (entry.sharedWith !== null) {
    const remedy = 'codex-router import --take moves the login out of the Codex home';
    return { result: 'held', why: 'it is shared with the Codex CLI', remedy };
  }
  return heldBy(deps, repo, entry);
}

/**
 * Law 1: an identity that lies in any slot, or whose grant anybody holds, is not ours to refresh; what cannot be read may hold it.
 * Null when it is parked.
 */
export async function heldBy(
  deps: CustodyDeps & Pick<RefreshDeps, 'host'>,
  repo: OpenRepo,
  entry: IndexEntry,
): Promise<Omit<Refreshed, 'entry'> | null> {
  const { host } = deps;
  const held = (name: string, remedy: string | null) => ({ result: 'held' as const, why: name, remedy });
  for (const slot of host === null ? [] : await everySlot(host)) {
    const { agent, profileId } = slot.address;
    const reading = await readable(slot);
    if (typeof reading === 'string') {
      return held(
        `the slot of agent ${agent} may hold it and cannot be read: ${reading}`,
        'codex-router doctor',
      );
    }
    const { occupant, neighbours } = reading;
    if (occupant.kind === 'refreshing') {
      if ((occupant.accountId ?? entry.identity.accountId) !== entry.identity.accountId) continue;
      return held(`OpenClaw is refreshing ${profileId} of agent ${agent} just now`, null);
    }
    const logins = [occupant, ...neighbours];
    const isIt = logins.some((one) => one.kind === 'login' && sameIdentity(one.identity, entry.identity));
    if (isIt) return held(`OpenClaw's agent ${agent} holds it and refreshes it itself`, null);
  }
  const { holder, notes } = await holderOf({ entry, fingerprint: entry.fingerprint }, repo, host, null, deps);
  if (holder !== null) return held(`${holder.name} holds it`, holder.remedy);
  const [unknown] = notes;
  return unknown === undefined ? null : held(unknown.text, 'codex-router doctor');
}

/** The reading, or in words why there is none. */
async function readable(slot: Slot): Promise<SlotReading | string> {
  try {
    return await slot.read();
  } catch (error) {
    if (error instanceof RouterError) return error.message;
    throw error;
  }
}

/** One request, and one more with the same token where the first may have spent it without an answer. */
async function ask({ endpoint, pause }: RefreshDeps, grant: Grant): Promise<RefreshAnswer> {
  const first = await endpoint.refresh(grant);
  if (first.kind !== 'unanswered') return first;
  await pause(RETRY_MS);
  const second = await endpoint.refresh(grant);
  // That it could not be asked again says nothing about the first time.
  return second.kind === 'failed' ? { kind: 'unanswered', why: second.why } : second;
}

/** Compares with what was sent, commits, and only then says so. */
async function settle(
  repo: OpenRepo,
  { entry: sent, holding }: Begun,
  answer: RefreshAnswer,
): Promise<Refreshed> {
  const { identity } = sent;
  const key = identityKey(identity);
  const entry = (await repo.list()).find((one) => sameIdentity(one.identity, identity));
  if (entry === undefined || entry.fingerprint !== sent.fingerprint) {
    if (answer.kind === 'renewed') {
      await repo.backUp(
        { ...holding, grant: answer.grant },
        'a refresh ended after another login was stored',
      );
    }
    const why = entry === undefined ? 'it was removed meanwhile' : 'another login of it was stored meanwhile';
    return { entry: entry ?? sent, result: 'superseded', why, remedy: null };
  }
  const said = async (result: RefreshResult, doubt: Doubt | null, why: string, remedy: string | null) => ({
    entry: await repo.doubt(key, doubt),
    result,
    why,
    remedy,
  });
  const again = `codex-router refresh ${key}`;
  if (answer.kind === 'refused') {
    return said('login-needed', 'login-needed', answer.why, LOG_IN_AGAIN);
  }
  // A token that may have been spent before stays in doubt, whatever kept it from being sent now.
  if (answer.kind === 'failed') return said('failed', sent.doubt, answer.why, again);
  if (answer.kind === 'unanswered') return said('unanswered', 'refresh-sent', answer.why, again);

  const { grant } = answer;
  const came = await ownerOf(repo, holding, grant);
  const known = { email: came.email ?? identity.email, plan: came.plan ?? identity.plan };
  const renewed = { ...holding, identity: { ...holding.identity, ...known }, grant };
  // Nobody held it when it was sent: a place that is remembered would only mislead a later check-in.
  const saved = await repo.save(renewed, { verified: true, placement: null });
  // An answer without a new refresh token leaves the grant, and with it the mark.
  const clear = saved.doubt === null ? saved : await repo.doubt(key, null);
  return { entry: clear, result: 'refreshed', why: null, remedy: null };
}

/**
 * Whose tokens came back. Another's, or tokens that do not tell, are sealed as a back-up: they may be the only ones left of their grant,
 * and the old one is spent.
 * @throws IDENTITY_MISMATCH, IDENTITY_UNREADABLE
 */
async function ownerOf(repo: OpenRepo, { identity, ...rest }: Holding, grant: Grant): Promise<Identity> {
  const key = identityKey(identity);
  const refuse = async (whose: Identity, error: unknown): Promise<never> => {
    await repo.backUp({ ...rest, identity: whose, grant }, 'a refresh answered with the tokens of another');
    await repo.doubt(key, 'login-needed');
    throw error;
  };
  let came: Identity;
  try {
    came = identityOf(grant.accessToken, { idToken: grant.idToken });
  } catch (error) {
    return refuse(identity, error);
  }
  if (sameIdentity(came, identity)) return came;
  const said = `the issuer answered the refresh of ${key} with tokens of ${identityKey(came)}: nothing was stored over it`;
  return refuse(came, new RouterError('IDENTITY_MISMATCH', said, { hint: LOG_IN_AS_WANTED }));
}
