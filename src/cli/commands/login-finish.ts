import { RouterError } from '../../errors.js';
import { parseExpectation } from '../../router/expectation.js';
import { requirePending, sweepPending, takePending } from '../../router/pending-login.js';
import { showText } from '../../text.js';
import { pendingDeps } from '../adapt.js';
import type { Cli } from '../cli.js';
import { compose } from '../compose.js';
import type { HostOptions } from '../options.js';
import { prepareArrival, receive } from './login-arrival.js';
import { showArrival } from './login-outcome.js';

export interface LoginFinishOptions extends HostOptions {
  /** As at `start`; what was said there is not said otherwise here. */
  readonly expect?: string;
  readonly alias?: string;
  readonly yes?: boolean;
  /** What a person typed where it does not belong. */
  readonly callbackUrl?: string | true;
}

/** Bytes of standard input that can be the address of a callback. */
const LONGEST = 64 * 1024;

/**
 * `codex-router login finish`
 * @param given the arguments: there must be none.
 */
export async function runLoginFinish(
  cli: Cli,
  given: readonly string[],
  options: LoginFinishOptions,
): Promise<void> {
  if (given.length > 0 || options.callbackUrl !== undefined) throw onCommandLine();
  const deps = await pendingDeps(cli, compose(cli, options));
  const { expect, alias, redirectUri } = await requirePending(deps).finally(() => sweepPending(deps));
  refuseOther('--expect', expect, options.expect, (text) => JSON.stringify(parseExpectation(text)));
  refuseOther('--alias', alias, options.alias, (text) => text);
  // The alias was free when the login was started; one that is taken by now costs the name, not the login.
  const { alias: named, ...rest } = options;
  const wish = { ...rest, ...(alias === null && named !== undefined && { alias: named }) };
  const ready = await prepareArrival(cli, { ...wish, ...(expect !== null && { expect }) }, 'login');
  const reception = { ...ready, alias: alias ?? ready.alias };
  const { repo, parts, issuer } = reception;
  const { state, outcome } = (await parts.browserIssuer()).parseAnswer(await broughtBack(cli));
  const arrival = await receive(reception, async () => {
    const { verifier } = await takePending(deps, repo, state);
    if (outcome.kind === 'refused') throw outcome.error;
    return issuer.exchange({ code: outcome.code, verifier, redirectUri });
  });
  showArrival(cli, arrival);
}

/** @throws USAGE where `start` was told another one: which of them is meant is for the person to say. */
function refuseOther(
  option: string,
  started: string | null,
  given: string | undefined,
  meaning: (text: string) => string,
): void {
  if (started === null || given === undefined || meaning(started) === meaning(given)) return;
  throw new RouterError(
    'USAGE',
    `${option} ${showText(given, 200)} is not what the login was started with: ${showText(started, 200)}`,
    { hint: `leave ${option} out, or codex-router login start ${option} ... again` },
  );
}

/** From a prompt that shows nothing, or from standard input. */
async function broughtBack({ terminal }: Cli): Promise<string> {
  if (terminal.canAsk)
    return terminal.askSecret('The address that the browser ended on (it is not shown)', '');
  if (terminal.stdinIsTerminal) {
    throw new RouterError('CHOICE_NEEDED', 'there is no terminal to ask for the address on', {
      hint: 'do not redirect stderr, or give the address on standard input',
    });
  }
  return terminal.readStdin(LONGEST, null).catch((error: unknown) => {
    if (!(error instanceof RouterError) || error.code !== 'USAGE') throw error;
    throw new RouterError('USAGE', 'standard input is too long to be the address of a browser', {
      hint: 'codex-router login finish --help',
    });
  });
}

function onCommandLine(): RouterError {
  return new RouterError(
    'USAGE',
    'the address is not taken from the command line: there it stays in the history of the shell, and every user of this machine can read it, so take it for spent',
    {
      hint: 'codex-router login start again; codex-router login finish then asks for the address, or reads standard input',
    },
  );
}
