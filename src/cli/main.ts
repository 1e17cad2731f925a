import { isBuiltin } from 'node:module';
import { EXIT } from '../errors.js';
import { type Cli, cliOf } from './cli.js';
import { watchInterruptions } from './interruption.js';
import { interrupted, reportError } from './report.js';
import { processTerminal, type Terminal } from './terminal.js';

/**
 * Runs one command line and gives the exit status (the table in src/errors.ts). Help loads no command, no zod and no
 * native library; each command's own modules are evaluated when it runs.
 */
export async function main(
  argv: readonly string[],
  version: string,
  proc: NodeJS.Process = process,
): Promise<number> {
  // Who asks on standard input reads a document, whatever becomes of it.
  const json = argv.includes('--json') || (argv[0] === 'chat' && argv.includes('--stdin'));
  const interruption = watchInterruptions(
    proc,
    (finished) => {
      // One answer to a command: a signal that comes after it has nothing to add.
      if (terminal.answered) return false;
      reportError(cli, interrupted(finished));
      return true;
    },
    () => cli.say('finishing what was begun; a second Ctrl-C stops at once ...'),
    (status) => leave(proc, terminal, status),
  );
  const terminal = processTerminal(proc, proc.env, interruption.signal);
  const cli: Cli = cliOf(proc.env, proc.platform, json, terminal, interruption);
  try {
    const { programOf } = await import('./program.js');
    const program = programOf(cli, version, argv[0]);
    program.hook('preAction', async (_program, command) => {
      if (isBuiltin('node:sqlite')) return;
      // A command without this option looks at no OpenClaw.
      if (command.options.some(({ long }) => long === '--state-dir')) {
        const options: { readonly bundle?: unknown } = command.opts();
        // A report on what does not work tells that too.
        const isReport = command.name() === 'doctor' && options.bundle !== undefined;
        const { rerunForSqlite } = await import('./rerun.js');
        const status = await rerunForSqlite(proc, cli, command.opts()).catch((error: unknown) => {
          if (isReport) return null;
          throw error;
        });
        if (status !== null) throw new CarriedOut(status);
      }
    });
    await program.parseAsync(argv.length === 0 ? ['--help'] : argv, {
      from: 'user',
    });
    return cli.status === EXIT.interrupted ? (interruption.status ?? cli.status) : cli.status;
  } catch (error) {
    if (error instanceof CarriedOut) return error.status;
    const status = reportError(cli, error);
    return status === EXIT.interrupted ? (interruption.status ?? status) : status;
  } finally {
    if (interruption.status === HUNG_UP && terminal.isGone) leave(proc, terminal, HUNG_UP);
  }
}

/** 128 + SIGHUP */
const HUNG_UP = 129;

/**
 * Without its terminal a process ends by the signal itself: Node (20, 24) cannot put the terminal's modes back then, and aborts
 * with all of its memory, the logins in it too, in a core file.
 */
function leave(proc: NodeJS.Process, terminal: Terminal, status: number): void {
  if (status !== HUNG_UP || !terminal.isGone) proc.exit(status);
  proc.emit('exit', status);
  proc.removeAllListeners('SIGHUP');
  proc.kill(proc.pid, 'SIGHUP');
}

/** A command that another Node has carried out: unwinds to `main`, which ends with its status. */
class CarriedOut extends Error {
  readonly status: number;

  constructor(status: number) {
    super('carried out by another Node');
    this.status = status;
  }
}
