import { spawn } from 'node:child_process';
import { basename, dirname } from 'node:path';
import * as z from 'zod/mini';
import { type Env, homeFolder } from '../os/folders.js';
import { shellWord } from '../text.js';
import { GatewayFailure } from './gateway-failure.js';

export interface CommandPlace {
  /** How to start the installed command: a program and its first arguments, such as `[node, openclaw.mjs]`. */
  readonly command: readonly string[] | null;
  readonly stateDir: string;
  readonly configPath: string;
  readonly env: Env;
}

/** What the command prints is read up to here and never shown: it may quote addresses and secrets. */
const MAX_OUTPUT = 64 * 1024;

/**
 * Runs `openclaw secrets reload --json` on this state directory and returns when the gateway has confirmed. The child gets
 * the person's own variables, without codex-router's. The first run on 3.28 pairs the command as a device, like every run
 * of it.
 * @throws GatewayFailure `command-missing`, `command-failed` (also past `timeoutMs`; the child is then ended)
 */
export async function reloadByCommand(place: CommandPlace, timeoutMs: number): Promise<void> {
  const [program, ...first] = place.command ?? [];
  if (program === undefined) throw new GatewayFailure('command-missing');
  const output = await run(program, [...first, 'secrets', 'reload', '--json'], childEnv(place), timeoutMs);
  if (!saysOk(output)) throw new GatewayFailure('command-failed', 'did not confirm the reload');
}

/** For OpenClaw's own program on this state directory: the person's variables, without codex-router's. */
export function childEnv({
  env,
  stateDir,
  configPath,
}: Pick<CommandPlace, 'env' | 'stateDir' | 'configPath'>): NodeJS.ProcessEnv {
  const own = Object.entries(env).filter(([name]) => !name.startsWith('CODEX_ROUTER_'));
  return {
    ...Object.fromEntries(own),
    OPENCLAW_STATE_DIR: stateDir,
    OPENCLAW_CONFIG_PATH: configPath,
    NO_COLOR: '1',
  };
}

async function run(
  program: string,
  args: string[],
  env: NodeJS.ProcessEnv,
  timeoutMs: number,
): Promise<string> {
  // Its own process group, because openclaw.mjs may start itself again and the deadline must end both.
  const grouped = process.platform !== 'win32';
  const child = spawn(program, args, {
    env,
    stdio: ['ignore', 'pipe', 'ignore'],
    detached: grouped,
    windowsHide: true,
  });
  return await new Promise<string>((resolve, reject) => {
    let output = '';
    const timer = setTimeout(() => {
      reject(new GatewayFailure('command-failed', `did not end within ${Math.round(timeoutMs / 1000)} s`));
      endAll();
    }, timeoutMs);
    const endAll = () => {
      try {
        if (grouped && child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
        else child.kill('SIGKILL');
      } catch {
        // It has ended by itself meanwhile.
      }
      child.stdout.destroy();
    };
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (output.length < MAX_OUTPUT) output += text;
    });
    child.on('error', () => {
      clearTimeout(timer);
      reject(new GatewayFailure('command-failed', 'could not be started'));
    });
    child.on('close', (status, signal) => {
      clearTimeout(timer);
      if (status === 0) resolve(output);
      else reject(new GatewayFailure('command-failed', `ended with ${signal ?? `status ${status}`}`));
    });
  });
}

const reportSchema = z.looseObject({ ok: z.literal(true) });

function saysOk(output: string): boolean {
  // A plugin may print a line before the document; 3.28 prints it indented over several lines.
  const start = output.indexOf('{');
  if (start < 0) return false;
  try {
    return reportSchema.safeParse(JSON.parse(output.slice(start))).success;
  } catch {
    return false;
  }
}

/** What a person types to make this state directory's gateway re-read its logins. */
export function reloadCommandLine(stateDir: string, env: Env): string {
  const home = homeFolder(env);
  const same = env.OPENCLAW_STATE_DIR?.trim() === stateDir;
  const unset = env.OPENCLAW_STATE_DIR === undefined && env.OPENCLAW_HOME === undefined;
  if (same || (unset && dirname(stateDir) === home && basename(stateDir) === '.openclaw')) {
    return 'openclaw secrets reload';
  }
  return `OPENCLAW_STATE_DIR=${shellWord(stateDir)} openclaw secrets reload`;
}
