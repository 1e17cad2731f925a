import type { DeviceCode, LoginCode } from '../../router/login-issuer.js';
import type { Cli } from '../cli.js';
import { countdown } from '../countdown.js';
import { type ArrivalOptions, prepareArrival, type Reception, receive } from './login-arrival.js';
import { showArrival } from './login-outcome.js';

/** `codex-router login`: the device flow. Nothing is stored, and nothing left behind, before the person has said so. */
export async function runLogin(cli: Cli, options: ArrivalOptions): Promise<void> {
  const reception = await prepareArrival(cli, options, 'login');
  const code = await approvedCode(reception);
  const arrival = await receive(reception, () => reception.issuer.exchange(code));
  showArrival(cli, arrival);
}

async function approvedCode({ cli, issuer }: Reception): Promise<LoginCode> {
  const { signal } = cli.interruption;
  const device = await issuer.deviceCode(signal);
  await show(cli, device);
  const stop = countdown(cli, device.expiresAt);
  try {
    return await issuer.approval(device, signal);
  } finally {
    stop();
  }
}

/** The code and the address stand alone on their lines, to be copied. */
async function show(cli: Cli, { url, userCode, expiresAt }: DeviceCode): Promise<void> {
  if (cli.json) {
    const facts = { verificationUrl: url, userCode, expiresAt };
    cli.say(`open ${url} and type ${userCode}`, facts);
    return;
  }
  cli.say('open this address in any browser, on any device:');
  cli.say('');
  cli.say(`  ${url}`);
  cli.say('');
  for (const line of await qrLines(cli, url)) cli.say(line);
  cli.say('and type in this code, if you have just started this login yourself:');
  cli.say('');
  cli.say(`  ${userCode}`);
  cli.say('');
  cli.say('where ChatGPT asks for a workspace, choose the one that you want to store');
}

/** None where the terminal cannot show it whole: what is cut off cannot be scanned. */
async function qrLines({ terminal: { screen } }: Cli, url: string): Promise<readonly string[]> {
  if (screen === null || !screen.unicode) return [];
  const { renderUnicodeCompact } = await import('uqr');
  // Full blocks are the light modules.
  const lines = renderUnicodeCompact(url, { border: 2 }).split('\n');
  if (lines.some((line) => line.length + 2 > screen.columns)) return [];
  // White on black whatever the terminal's colours: many scanners read no inverted code.
  const shown = screen.colour
    ? lines.map((line) => `  \u001b[97;40m${line}\u001b[0m`)
    : lines.map((line) => `  ${line}`);
  return [...shown, ''];
}
