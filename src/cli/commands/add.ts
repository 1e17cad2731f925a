import { RouterError } from '../../errors.js';
import { parseAlias } from '../../router/alias.js';
import { parseExpectation } from '../../router/expectation.js';
import type { FinishedAdd } from '../../router/finish-adds.js';
import type {
  CodexEnd,
  IsolatedLogin,
  IsolatedLogins,
  LeftLogin,
  LoginFlow,
} from '../../router/left-logins.js';
import type { HostNote } from '../../slot/host.js';
import type { Cli } from '../cli.js';
import { compose } from '../compose.js';
import { finishWith, tellFinished } from './finish-adds.js';
import {
  type Arrival,
  type ArrivalOptions,
  freeAlias,
  prepareArrival,
  type Reception,
  receive,
} from './login-arrival.js';
import { showArrival } from './login-outcome.js';

export interface AddOptions extends Omit<ArrivalOptions, 'alias'> {
  readonly codex?: string;
  readonly deviceAuth?: boolean;
  readonly browser?: boolean;
}

/** `codex-router add <alias>`: the person's own `codex login` in a throw-away Codex home, whose login then is ours alone. */
export async function runAdd(cli: Cli, alias: string, options: AddOptions): Promise<void> {
  if (options.browser && options.deviceAuth) {
    throw new RouterError('USAGE', '--browser and --device-auth exclude each other', {
      hint: 'codex-router add --help',
    });
  }
  parseAlias(alias, null, []);
  const logins = await compose(cli, options).isolatedLogins();
  const ready = (await logins.mayBeLeft())
    ? await afterLeftOnes(cli, logins, alias, options)
    : await afresh(cli, logins, alias, options);
  showArrival(cli, ready);
}

async function afresh(
  cli: Cli,
  logins: IsolatedLogins,
  alias: string,
  options: AddOptions,
): Promise<Arrival> {
  // Before a vault is made for it.
  await logins.findCodex(options.codex ?? null);
  return make(await prepareArrival(cli, { ...options, alias }, 'add'), logins, alias, options);
}

/** An earlier `add` of the same name that was interrupted with its login made is finished instead of a second login. */
async function afterLeftOnes(
  cli: Cli,
  logins: IsolatedLogins,
  alias: string,
  options: AddOptions,
): Promise<Arrival> {
  const reception = await prepareArrival(cli, options, 'add');
  const finished = await finishWith(reception, await logins.left());
  const same = finished.adds.find((add) => answers(add, alias, options));
  if (same !== undefined) {
    return { kept: same.kept, notes: [...reception.notes, ...finished.notes, FINISHED] };
  }
  tellFinished(cli, finished);
  const free = freeAlias(alias, reception.wanted, await reception.repo.list());
  return make({ ...reception, alias: free }, logins, alias, options);
}

/** Whether it is what is asked for now; its name may have gone to another identity meanwhile. */
function answers({ alias, kept }: FinishedAdd, wanted: string, { expect }: AddOptions): boolean {
  if (alias !== wanted || kept.entry.alias !== wanted) return false;
  if (expect === undefined) return true;
  const { accountId, userId } = parseExpectation(expect);
  const { identity } = kept.entry;
  return identity.accountId === accountId && (userId ?? identity.userId) === identity.userId;
}

const FINISHED: HostNote = {
  code: 'FINISHED',
  text: 'an earlier add of this name had been interrupted with its login made: that one is stored now, and no other was made',
};

async function make(
  reception: Reception,
  logins: IsolatedLogins,
  alias: string,
  options: AddOptions,
): Promise<Arrival> {
  const { critical, signal } = reception.cli.interruption;
  const codex = await logins.findCodex(options.codex ?? null);
  const flow = options.browser ? 'browser' : options.deviceAuth ? 'device' : logins.usualFlow;
  return critical(async () => {
    const home = await logins.begin(codex, { alias, expect: options.expect ?? null });
    const made = await login(home, flow, signal);
    const next = `codex-router add ${alias}`;
    const aside = { drop: () => made.remove(), next };
    const arrival = await receive({ ...reception, aside }, async () => made.holding);
    return { ...arrival, notes: [...arrival.notes, ...(await removed(made))] };
  });
}

type Made = LeftLogin & { readonly holding: NonNullable<LeftLogin['holding']> };

/** @throws unless there is a login; a home without one is removed first */
async function login(home: IsolatedLogin, flow: LoginFlow, signal: AbortSignal): Promise<Made> {
  let end: CodexEnd;
  try {
    end = await home.run(flow, signal);
  } catch (error) {
    await (await home.look()).remove();
    throw error;
  }
  const made = await home.look();
  const { holding } = made;
  if (holding !== null) return { ...made, holding };
  const { folder, state, trouble } = made;
  if (state === 'running') {
    throw new RouterError(
      'LOGIN_FAILED',
      `codex login was ended, but a part of it still waits in ${folder}`,
      {
        hint: 'what it still brings is stored by the next codex-router add',
      },
    );
  }
  if (state === 'unreadable') {
    throw new RouterError('IDENTITY_UNREADABLE', `codex login left a login that cannot be read: ${trouble}`, {
      hint: `it is left in ${folder}; codex-router login makes one without the Codex CLI`,
    });
  }
  if (end.code === 0) {
    await home.markElsewhere();
    throw new RouterError('LOGIN_FAILED', 'codex login ended well, but left no file with a login', {
      hint: `if this machine's administrator has it use the keyring: CODEX_HOME=${folder} codex-router import --take; codex-router login needs no Codex CLI`,
    });
  }
  await made.remove();
  throw withoutLogin(end, signal.aborted);
}

function withoutLogin({ code, signal: by }: CodexEnd, isInterrupted: boolean): RouterError {
  const stopped = by === null ? STOPPED_STATUS.includes(code ?? -1) : STOPPED_SIGNALS.includes(by);
  if (isInterrupted || stopped) {
    return new RouterError('INTERRUPTED', 'codex login was stopped before it had made a login', {
      hint: 'nothing was stored or changed; run the command again',
    });
  }
  const how = by === null ? `with status ${code}` : `by ${by}`;
  return new RouterError('LOGIN_FAILED', `codex login ended ${how} and made no login`, {
    hint: 'what it said is above; codex-router login makes one without the Codex CLI',
  });
}

const STOPPED_SIGNALS: readonly string[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];
/** 128 and the number of the signal, as its launcher may answer. */
const STOPPED_STATUS: readonly number[] = [129, 130, 143];

/** The login is stored by now: what is left of the home is no error of the command. */
async function removed(made: LeftLogin): Promise<readonly HostNote[]> {
  try {
    await made.remove();
    return [];
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    return [{ code: error.code, text: `${made.folder} could not be removed: ${error.message}` }];
  }
}
