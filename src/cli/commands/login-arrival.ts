import { RouterError } from '../../errors.js';
import type { Holding } from '../../holding.js';
import { sameIdentity } from '../../identity.js';
import type { ArrivingCopy } from '../../repo/arriving-logins.js';
import type { IndexEntry, OpenRepo } from '../../repo/repo.js';
import { proveRoom } from '../../repo/room.js';
import { accountNotes, withAccount } from '../../router/account-facts.js';
import { parseAlias } from '../../router/alias.js';
import { type Expectation, expected, parseExpectation, requireExpected } from '../../router/expectation.js';
import { type Kept, keepLogin } from '../../router/keep-login.js';
import type { AccountAnswer, LoginIssuer } from '../../router/login-issuer.js';
import { sweepPending } from '../../router/pending-login.js';
import { nameOf } from '../../router/resolve.js';
import type { Host, HostNote } from '../../slot/host.js';
import { showText } from '../../text.js';
import { hostOrNull, pendingDeps } from '../adapt.js';
import type { Cli } from '../cli.js';
import { compose, type Parts } from '../compose.js';
import type { HostOptions, KeyOptions } from '../options.js';
import { phrase } from '../people.js';
import { endArrivals, finishLeftAdds } from './finish-adds.js';
import { DISCARDED, discarded, dropped, isAbort, sealedCopy } from './login-discard.js';

/** Options of every command that makes a login. */
export interface ArrivalOptions extends HostOptions, KeyOptions {
  readonly alias?: string;
  readonly expect?: string;
  readonly yes?: boolean;
}

/** What is ready for a login before a person is sent to the browser for it. */
export interface Reception {
  readonly cli: Cli;
  readonly parts: Parts;
  readonly issuer: LoginIssuer;
  readonly repo: OpenRepo;
  readonly host: Host | null;
  readonly source: 'login' | 'add';
  readonly wanted: Expectation | null;
  readonly alias: string | null;
  /** Whether it is kept without a question. */
  readonly yes: boolean;
  readonly notes: readonly HostNote[];
  /** Null when the login is nowhere but in this process. */
  readonly aside: Aside | null;
}

/** The file in which another program left the login, and from which a later run takes it. */
export interface Aside {
  /** Deletes it, durably. */
  drop(): Promise<void>;
  /** The command of that later run. */
  readonly next: string;
}

/**
 * Everything that can refuse a login is asked before a person logs in: the options, the vault (made on a first run), the OpenClaw.
 * @throws CHOICE_NEEDED where a question would be asked and cannot; USAGE; KEY*, VAULT_*
 */
export async function prepareArrival(
  cli: Cli,
  options: ArrivalOptions,
  source: Reception['source'],
): Promise<Reception> {
  const yes = options.yes ?? false;
  if (!yes && !cli.terminal.canAsk) {
    throw new RouterError(
      'CHOICE_NEEDED',
      'whether to keep the login has to be confirmed, and there is no terminal to ask on',
      { hint: 'add --yes, and --expect <accountId> to be sure whose it is' },
    );
  }
  const parts = compose(cli, options, true);
  if (source === 'login') {
    await finishLeftAdds(cli, options);
    await sweepPending(await pendingDeps(cli, parts));
  } else await endArrivals(cli, parts);
  const stored = await parts.repo.list();
  const wanted = options.expect === undefined ? null : parseExpectation(options.expect, stored);
  const alias = options.alias === undefined ? null : freeAlias(options.alias, wanted, stored);
  const notes: HostNote[] = [];
  const host = await parts.besideKeychain(() => hostOrNote(parts, notes));
  const repo = await parts.openRepo();
  // What is wrong with the store is told now, not when there is a login to be lost.
  await repo.list();
  await parts.withLock(() => proveRoom(parts.folders.data));
  const issuer = await parts.issuer();
  return { cli, parts, issuer, repo, host, source, wanted, alias, yes, notes, aside: null };
}

/** An alias of the identity that is expected is its own. @throws USAGE */
export function freeAlias(text: string, wanted: Expectation | null, entries: readonly IndexEntry[]): string {
  const [own, another] = wanted === null ? [] : expected(wanted, entries);
  return parseAlias(text, another === undefined ? (own ?? null) : null, entries);
}

/** A login is stored whatever is the matter with the OpenClaw beside it. */
async function hostOrNote(parts: Parts, notes: HostNote[]): Promise<Host | null> {
  try {
    return await hostOrNull(parts);
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    notes.push({ code: error.code, text: `OpenClaw was not looked at: ${error.message}` });
    return null;
  }
}

/** What became of a login that arrived. */
export interface Arrival {
  readonly kept: Kept;
  readonly notes: readonly HostNote[];
}

/**
 * Takes a login in: whose it is, what the backend says of its account, the person's word, and then it is stored. It runs to an end that
 * leaves nothing behind although a signal arrives: a login that is refused, discarded or interrupted is revoked, as well as that can be
 * done, and the error says so. One that could not be stored is not revoked, because its record may be there. Until it has come to one of
 * these ends a sealed copy of it lies where the next login finds it, should this process be killed.
 * @param fetch gets the login: the exchange of a code, or the reading of a file
 * @throws IDENTITY_UNEXPECTED, INTERRUPTED, LOGIN_NEEDED; what `fetch` and `keepLogin` throw
 */
export async function receive(reception: Reception, fetch: () => Promise<Holding>): Promise<Arrival> {
  return reception.cli.interruption.critical(async () => {
    const came = await fetch();
    const notes: HostNote[] = [];
    const copy = reception.aside === null ? await sealedCopy(reception, came, notes) : null;
    const refused = async (error: unknown): Promise<never> => {
      throw await discarded(reception, came, copy, error);
    };
    const decided = await decide(reception, came).catch(refused);
    const kept = await store(reception, decided, copy).catch((error: unknown) =>
      isAbort(error) ? refused(error) : Promise.reject(error),
    );
    await dropped(copy);
    return { kept, notes: [...notes, ...decided.notes, ...kept.notes] };
  });
}

interface Decided {
  readonly holding: Holding;
  readonly verified: boolean;
  readonly notes: readonly HostNote[];
}

/** @throws unless it is to be kept */
async function decide(reception: Reception, came: Holding): Promise<Decided> {
  const { cli, repo, wanted, issuer, yes } = reception;
  const { signal } = cli.interruption;
  const entries = await repo.list();
  if (wanted !== null) requireExpected(came.identity, wanted, entries);
  signal.throwIfAborted();
  const account = await issuer.account(came, signal);
  signal.throwIfAborted();
  if (account.kind === 'ended') {
    throw new RouterError('LOGIN_NEEDED', `the issuer has ended this login already: ${account.why}`, {
      hint: 'log in again',
    });
  }
  const holding = withAccount(came, account);
  const notes = [...reception.notes, ...accountNotes(account)];
  introduce(cli, holding, account, entries);
  if (!yes) await askToKeep(cli);
  return { holding, verified: account.kind === 'known', notes };
}

function introduce(
  { say }: Cli,
  { identity }: Holding,
  account: AccountAnswer,
  entries: readonly IndexEntry[],
): void {
  const { accountId, userId, email, plan, workspace } = identity;
  const stored = entries.find((entry) => sameIdentity(entry.identity, identity));
  const nameless = account.kind === 'known' ? 'no name: a personal account has none' : 'not known';
  say(`logged in as ${showText(email, 80)}`, { identity });
  say(`  account    ${showText(accountId, 80)} / ${showText(userId, 80)}`);
  say(`  workspace  ${workspace === null ? nameless : showText(workspace)}`);
  say(`  plan       ${showText(plan)}`);
  say(
    `  stored     ${stored === undefined ? 'not yet' : `already, as ${showText(nameOf(stored), 80)}: this is the newer login`}`,
  );
}

/** @throws INTERRUPTED unless the person wants it */
async function askToKeep({ terminal }: Cli): Promise<void> {
  const answer = await terminal.ask('Keep this login?', [
    { value: 'keep', label: 'Keep it' },
    { value: 'discard', label: 'Discard it', hint: 'it is revoked at the issuer' },
  ]);
  if (answer === 'discard') throw new RouterError('INTERRUPTED', DISCARDED);
}

/**
 * On a terminal a person may mend what is wrong and try again.
 * @throws the signal's reason where another codex-router was waited for
 */
async function store(
  reception: Reception,
  { holding, verified }: Decided,
  copy: ArrivingCopy | null,
): Promise<Kept> {
  const { cli, parts, host, repo, source, alias, aside } = reception;
  const { hostAt, outside, journal, withLock, withGrantLock } = parts;
  const { critical, signal } = cli.interruption;
  const isOnlyCopy = aside === null && copy === null;
  const wait = { signal: isOnlyCopy ? undefined : signal };
  const deps = { host, hostAt, outside, journal, withLock, withGrantLock, critical, now: cli.now, ...wait };
  const left = isOnlyCopy
    ? 'it stays valid at the issuer, so log in again and log that session out there'
    : 'then log in again: that revokes this one first, unless it is stored after all';
  for (;;) {
    try {
      return await keepLogin(deps, repo, { holding, source, verified, alias });
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
      const who = phrase({ ...holding.identity, alias: null });
      const message = `the login of ${who} was made, but could not be stored: ${error.message}`;
      const hint = `${error.hint ?? 'mend that'}; ${aside === null ? left : `then ${aside.next}, which has it still`}`;
      const refusal = new RouterError(error.code, message, { hint, cause: error });
      if (!cli.terminal.canAsk || signal.aborted) throw refusal;
      cli.say(message);
      const answer = await cli.terminal
        .ask('Try to store it again?', [
          { value: 'again', label: 'Try again' },
          { value: 'stop', label: 'Give it up' },
        ])
        .catch(() => 'stop');
      if (answer === 'stop') throw refusal;
    }
  }
}
