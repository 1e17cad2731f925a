import { EXIT } from '../../errors.js';
import type { Env } from '../../os/folders.js';
import { type Cli, cliOf } from '../cli.js';
import type {
  ErrorDocument,
  ExplainDocument,
  HistoryDocument,
  RemoveDocument,
  UndoDocument,
  UsageDocument,
  UseDocument,
} from '../documents.js';
import type { Interruption } from '../interruption.js';
import type { HostOptions } from '../options.js';
import { reportError } from '../report.js';
import type { Terminal } from '../terminal.js';

/** The commands that a chat asks for, and what each prints. */
interface Documents {
  readonly use: UseDocument;
  readonly undo: UndoDocument;
  readonly remove: RemoveDocument;
  readonly usage: UsageDocument;
  readonly history: HistoryDocument;
  readonly explain: ExplainDocument;
}

/** What a command answered, as its document says it. */
export type Ran<Document> =
  | { readonly ok: true; readonly document: Document }
  | { readonly ok: false; readonly error: ErrorDocument['error']; readonly status: number };

/**
 * Runs one of our own commands in this process as `codex-router <name> ... --json` would: nobody is asked, nothing is shown.
 * @param args flags and values of our own making; `selector` goes behind `--`, so that it is no flag whatever it holds
 */
export type Within = <Name extends keyof Documents>(
  name: Name,
  args: readonly string[],
  selector?: string,
  signal?: AbortSignal,
) => Promise<Ran<Documents[Name]>>;

/** @param env what the command is to know of its chat; @param options of the OpenClaw that is meant */
export function withinOf(cli: Cli, env: Env, options: HostOptions): Within {
  return async (name, args, selector, signal) => {
    let printed = '';
    const inner = quietCli(cli, env, signal, (text) => {
      printed += text;
    });
    const behind = selector === undefined ? [] : ['--', selector];
    // The history is ours, of no OpenClaw.
    const host = name === 'history' ? [] : hostArgs(options);
    const argv = [name, ...host, ...args, '--json', ...behind];
    const status = await run(inner, argv);
    return parseRan(printed, status);
  };
}

/**
 * A cli with nobody at its other end: it asks nothing, and what it says is not heard.
 * @param signal ends what is run with it, as a signal of the system does.
 */
export function quietCli(
  { platform, terminal, interruption }: Cli,
  env: Env,
  signal?: AbortSignal,
  write: (text: string) => void = () => undefined,
): Cli {
  const both: Interruption = {
    signal: signal === undefined ? interruption.signal : AbortSignal.any([signal, interruption.signal]),
    get status() {
      return interruption.status;
    },
    critical: interruption.critical,
  };
  return cliOf(env, platform, true, silentTerminal(terminal, write), both);
}

async function run(cli: Cli, argv: readonly string[]): Promise<number> {
  try {
    const { programOf } = await import('../program.js');
    const program = programOf(cli, '', argv[0]);
    await program.parseAsync([...argv], { from: 'user' });
    return cli.status;
  } catch (error) {
    return reportError(cli, error);
  }
}

/** A command prints exactly one document, and one that says `ok` is of its own kind: test/cli holds every command to that. */
function parseRan<Document>(printed: string, status: number): Ran<Document> {
  const document = JSON.parse(printed) as ({ ok: true } & Document) | ErrorDocument;
  if (document.ok) return { ok: true, document };
  return { ok: false, error: document.error, status: status === EXIT.ok ? EXIT.bug : status };
}

function hostArgs({ stateDir, profile, slot, via }: HostOptions): string[] {
  const given = { 'state-dir': stateDir, profile, slot, via };
  return Object.entries(given).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}=${value}`],
  );
}

/** Nobody is at the other end. */
function silentTerminal(outer: Terminal, write: (text: string) => void): Terminal {
  const nobody = () => Promise.reject(new Error('a command asked within a chat'));
  return {
    canAsk: false,
    stdinIsTerminal: false,
    colour: false,
    screen: null,
    page: null,
    get isGone() {
      return outer.isGone;
    },
    get answered() {
      return outer.answered;
    },
    isUnheard: false,
    say: () => undefined,
    rewrite: () => undefined,
    live: () => null,
    write,
    ask: nobody,
    confirm: nobody,
    askSecret: nobody,
    readStdin: async () => '',
    readStdinBytes: async () => new Uint8Array(),
  };
}
