import { EXIT, RouterError } from '../errors.js';
import { cliOf } from './cli.js';
import { watchInterruptions } from './interruption.js';
import { reportError } from './report.js';
import { processTerminal } from './terminal.js';

declare const CODEX_ROUTER_VERSION: string | undefined;

/**
 * Runs one command line and gives the exit status (the table in src/errors.ts). `--version` and `--help` load no command,
 * no zod and no native library; each command's own modules are loaded when it runs.
 */
export async function main(argv: readonly string[], proc: NodeJS.Process = process): Promise<number> {
  if (argv.length === 1 && (argv[0] === '--version' || argv[0] === '-V')) {
    proc.stdout.write(`${version()}\n`);
    return EXIT.ok;
  }
  const json = argv.includes('--json');
  const interruption = watchInterruptions(proc);
  const terminal = processTerminal(proc, proc.env, interruption.signal);
  const cli = cliOf(proc.env, proc.platform, json, terminal, interruption);
  try {
    const { programOf } = await import('./program.js');
    await programOf(cli, version()).parseAsync(argv, { from: 'user' });
    return EXIT.ok;
  } catch (error) {
    return reportError(cli, error);
  }
}

function version(): string {
  if (typeof CODEX_ROUTER_VERSION === 'string') return CODEX_ROUTER_VERSION;
  throw new RouterError('BUG', 'this build does not know its version');
}
