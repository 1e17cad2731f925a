import { runProgram } from './child.js';
import { configOf, programOf } from './commands.js';
import { type Host, memberOf, textOf } from './host.js';
import type { Runs } from './runs.js';

/** What the helper that an agent runs is told: in which session it is. The CLI reads it (docs/chat.md). */
const SESSION_KEY = 'CODEX_ROUTER_SESSION_KEY';

/** Puts the session's key into the environment of what an agent runs; no release does that itself. */
export function tellExec(host: Host): void {
  if (isBefore(textOf(host.runtime('version')) ?? '', 6, 1)) {
    host.on?.('before_tool_call', (event: unknown, context: unknown) => {
      const key = textOf(memberOf(context, 'sessionKey'));
      const params = memberOf(event, 'params');
      if (memberOf(event, 'toolName') !== 'exec' || key === null || !isObject(params)) return undefined;
      const env = memberOf(params, 'env');
      return { params: { ...params, env: { ...(isObject(env) ? env : {}), [SESSION_KEY]: key } } };
    });
    return;
  }
  host.on?.('resolve_exec_env', (event: unknown, context: unknown) => {
    const key = textOf(memberOf(context, 'sessionKey')) ?? textOf(memberOf(event, 'sessionKey'));
    return key === null ? undefined : { [SESSION_KEY]: key };
  });
}

/** What is looked at again when the run of a session ends: a run that ends can write back what was there when it began. */
export interface Unsettled {
  readonly add: (session: string) => void;
}

const MOST = 100;
const WAIT_S = 60;

/**
 * A session is unsettled when a switch was made in it while it ran: by a command (`add`), or by an agent that ran codex-router.
 * At the end of its run `sync` pins again what the run has put back; no release lets a plugin wait for that in another way.
 */
export function settleAtRunEnd(host: Host, runs: Runs): Unsettled {
  const sessions = new Set<string>();
  const add = (session: string) => {
    if (sessions.size < MOST) sessions.add(session);
  };
  host.on?.('after_tool_call', (event: unknown, context: unknown) => {
    const key = textOf(memberOf(context, 'sessionKey'));
    const command = textOf(memberOf(event, 'params', 'command')) ?? '';
    if (memberOf(event, 'toolName') === 'exec' && key !== null && command.includes('codex-router')) add(key);
  });
  runs.onEnd(({ key }) => {
    if (key === null || !sessions.delete(key)) return;
    settle(host).catch(() => host.warn(UNSETTLED));
  });
  return { add };
}

const UNSETTLED = 'a pin could not be looked at again after a run; codex-router sync does it';

async function settle(host: Host): Promise<void> {
  const config = configOf(host);
  if (config === null) return;
  const program = await programOf(config);
  if ('trouble' in program) return host.warn(program.trouble);
  const argv = [process.execPath, program.path, 'sync', '--wait', String(WAIT_S), '--json'];
  const end = await runProgram(host, argv, (WAIT_S + 30) * 1000, '');
  if (end?.code !== 0) host.warn(UNSETTLED);
}

/** Whether a release, written `2026.5.7`, is older than 2026.`month`.`number`; one that cannot be read is not. */
function isBefore(version: string, month: number, number: number): boolean {
  const [, year, hasMonth, hasNumber] = (/^(\d{4})\.(\d{1,2})\.(\d{1,3})/.exec(version) ?? []).map(Number);
  if (year === undefined || hasMonth === undefined || hasNumber === undefined) return false;
  return year < 2026 || (year === 2026 && (hasMonth < month || (hasMonth === month && hasNumber < number)));
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
