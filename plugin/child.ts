import { ChatDocument, ChatFailure, type ChatRequest } from '../src/cli/chat/protocol.js';
import { showText } from '../src/text.js';
import type { Buttons } from './buttons.js';
import { bound, type Host, memberOf, type RunEnd, textOf } from './host.js';
import type { Program } from './program.js';

/** What the child answered; `document` is null when it failed or never answered. */
export interface Answer {
  readonly text: string;
  readonly buttons: Buttons;
  readonly document: ChatDocument | null;
  /** The message that asked held a secret. */
  readonly dropsMessage: boolean;
}

/** More than ten times the longest answer. */
const LONGEST_OUTPUT = 256 * 1024;

/** Runs `codex-router chat --stdin` for one request, by the host's own way to run a program. Never throws. */
export async function ask(
  host: Host,
  program: Program,
  node: string,
  timeoutMs: number,
  request: ChatRequest,
): Promise<Answer> {
  if ('trouble' in program) return said(sentence(program.trouble));
  const end = await runProgram(
    host,
    [node, program.path, 'chat', '--stdin'],
    timeoutMs,
    JSON.stringify(request),
  );
  if (end === null)
    return said(
      'This OpenClaw does not let a plugin run a program, so codex-router cannot be asked from here.',
    );
  if (end.timedOut) {
    return said(
      `codex-router did not answer within ${Math.round(timeoutMs / 1000)} s and was stopped. Look with /codex_profile before you try again.`,
    );
  }
  return read(end);
}

function read({ code, stdout }: RunEnd): Answer {
  const answer = parseJson(stdout);
  const done = ChatDocument.safeParse(answer);
  if (done.success && done.data.ok) {
    const { text, buttons, dropsMessage } = done.data;
    return { text, buttons, dropsMessage, document: done.data };
  }
  const failed = ChatFailure.safeParse(answer);
  if (failed.success) {
    const { error, text, buttons = [], dropsMessage = false } = failed.data;
    return { text: text ?? failure(error), buttons, dropsMessage, document: null };
  }
  const how = code === null ? 'was stopped' : `ended with ${code}`;
  return said(
    `codex-router ${how} without an answer that this plugin understands. The plugin and the program have to be of one release: update both.`,
  );
}

function failure({ message, hint }: ChatFailure['error']): string {
  return sentence(showText(message, 400)) + (hint === null ? '' : ` Next: ${showText(hint, 300)}`);
}

/** Null when the host cannot run programs for plugins. Never throws. */
export async function runProgram(
  host: Host,
  argv: readonly string[],
  timeoutMs: number,
  input: string,
): Promise<RunEnd | null> {
  const call = bound(host.runtime('system'), 'runCommandWithTimeout');
  if (call === null) return null;
  try {
    const stateDir = textOf(bound(host.runtime('state'), 'resolveStateDir')?.());
    const end = await call(argv, {
      timeoutMs,
      input,
      // Through 2026.5 the host keeps all that a program prints; the program itself keeps to less.
      maxOutputBytes: LONGEST_OUTPUT,
      env: {
        ...(stateDir === null ? {} : { OPENCLAW_STATE_DIR: stateDir }),
        // Undefined takes a variable away in every release. The request says which session is meant, and a gateway that was
        // started from an agent's exec is not that agent.
        CODEX_ROUTER_SESSION_KEY: undefined,
        OPENCLAW_CHANNEL_CONTEXT: undefined,
        OPENCLAW_SHELL: undefined,
      },
    });
    const code = memberOf(end, 'code');
    const termination = memberOf(end, 'termination');
    return {
      code: typeof code === 'number' ? code : null,
      stdout: (textOf(memberOf(end, 'stdout')) ?? '').slice(0, LONGEST_OUTPUT),
      timedOut: termination === 'timeout' || termination === 'no-output-timeout',
    };
  } catch {
    // It could not be started.
    return { code: null, stdout: '', timedOut: false };
  }
}

function said(text: string): Answer {
  return { text, buttons: [], document: null, dropsMessage: false };
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
