import { browserOpener, openBrowser } from '../../os/browser.js';
import type { Cli } from '../cli.js';
import { type ArrivalOptions, prepareArrival, receive } from './login-arrival.js';
import { showArrival } from './login-outcome.js';

export interface BrowserOptions extends ArrivalOptions {
  /** False for `--no-open`. */
  readonly open?: boolean;
}

/** `codex-router login --browser` */
export async function runLoginBrowser(cli: Cli, options: BrowserOptions): Promise<void> {
  const reception = await prepareArrival(cli, options, 'login');
  const { issuer, parts, wanted } = reception;
  const browser = await parts.browserIssuer();
  const talk = {
    show: (url: string, door: string) => show(cli, url, options.open === false ? null : door),
    // Any page in a browser can send them, as many as it likes.
    stranger: once(() => cli.say('an answer to another login came in and was refused; still waiting ...')),
  };
  const code = await browser.code(wanted?.accountId ?? null, talk, cli.interruption.signal);
  cli.say('the browser has answered; fetching the login ...');
  const arrival = await receive(reception, () => issuer.exchange(code));
  showArrival(cli, arrival);
}

/** @param door what our own browser is given; null when none is to be opened. */
function show(cli: Cli, url: string, door: string | null): void {
  if (cli.json) {
    cli.say('open this address in a browser on this machine', { authorizeUrl: url });
  } else {
    cli.say('open this address in a browser on this machine, and log in there:');
    cli.say('');
    cli.say(`  ${url}`);
    cli.say('');
    cli.say('waiting for 15 minutes; Ctrl-C stops it, and leaves nothing behind');
    cli.say('no browser here? codex-router login start works with one on any machine');
  }
  const opener = door === null ? null : browserOpener(cli.env, cli.platform);
  if (opener === null || door === null) return;
  void openBrowser(opener, door, cli.env).then((isStarted) => {
    if (!isStarted)
      cli.say(`${opener[0]} could not be run, so no browser was opened: open the address yourself`);
  });
}

function once(act: () => void): () => void {
  let isDone = false;
  return () => {
    if (!isDone) act();
    isDone = true;
  };
}
