import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { readdir, readFile, readlink } from '../os/files.js';
import type { Env } from '../os/folders.js';
import { runningGateway } from './gateway-lock.js';

/** How an OpenClaw is, or would be, started. */
export interface HostProgram {
  /** The interpreter; absolute. */
  readonly node: string;
  /** Null where the command does not name one. */
  readonly script: string | null;
  /** Where it was found, for a person. */
  readonly source: string;
}

/** The gateway that runs on this state directory (Linux); null when there is none, or it is another user's. */
export async function gatewayProgram(configPath: string, stateDir: string): Promise<HostProgram | null> {
  const gateway = await runningGateway(configPath, stateDir);
  if (gateway === null || process.platform !== 'linux') return null;
  try {
    const node = await readlink(`/proc/${gateway.pid}/exe`);
    const [, ...words] = (await readFile(`/proc/${gateway.pid}/cmdline`, 'utf8')).split('\0');
    return { node, script: scriptIn(words), source: 'the running gateway' };
  } catch {
    return null;
  }
}

/**
 * The gateways installed as a service of this user: `openclaw-gateway*.service` of systemd (Linux), `ai.openclaw.*.plist` of launchd
 * (macOS). None where there are none; a file that says nothing is passed over.
 */
export async function serviceProgram(env: Env, platform: NodeJS.Platform): Promise<HostProgram | null> {
  const home = env.HOME ?? homedir();
  const [folder, name, wordsIn] =
    platform === 'darwin'
      ? ([join(home, 'Library', 'LaunchAgents'), /^ai\.openclaw\..*\.plist$/, plistWords] as const)
      : ([join(home, '.config', 'systemd', 'user'), /^openclaw-gateway.*\.service$/, unitWords] as const);
  const names = platform === 'win32' ? [] : await readdir(folder).catch(() => []);
  for (const found of names.filter((file) => name.test(file)).sort()) {
    const text = await readFile(join(folder, found), 'utf8').catch(() => '');
    const [node, ...rest] = wordsIn(text);
    if (node !== undefined && isAbsolute(node)) return { node, script: scriptIn(rest), source: found };
  }
  return null;
}

function scriptIn(words: readonly string[]): string | null {
  return words.find((word) => isAbsolute(word) && /\.[cm]?js$/.test(word)) ?? null;
}

/** The words of the last `ExecStart=`: systemd.service(5), without its specifiers and escapes, which OpenClaw's units do not use. */
function unitWords(text: string): readonly string[] {
  const line = /^ExecStart=(?:[-@:+!]*)(.*)$/m.exec(text.replace(/\\\n/g, ' '))?.[1] ?? '';
  return [...line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(([, a, b, c]) => a ?? b ?? c ?? '');
}

function plistWords(text: string): readonly string[] {
  const list = /<key>ProgramArguments<\/key>\s*<array>([\s\S]*?)<\/array>/.exec(text)?.[1] ?? '';
  return [...list.matchAll(/<string>([^<]*)<\/string>/g)].map(([, word]) => unescaped(word ?? ''));
}

function unescaped(text: string): string {
  return text
    .replace(/&lt;/g, '<')
    .replace(/&gt;/g, '>')
    .replace(/&quot;/g, '"')
    .replace(/&amp;/g, '&');
}
