import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { RouterError } from '../errors.js';
import type { Env } from '../os/folders.js';
import { expandHome, filled } from './text.js';

export interface HostOptions {
  /** `--state-dir`: wins over every variable; relative to the working directory. */
  readonly stateDir?: string;
  /** OpenClaw's `--profile` name: `~/.openclaw-<name>`; like there, OPENCLAW_STATE_DIR wins over it. */
  readonly profile?: string;
  /** The profile id of the slot, when it is not the release's default. */
  readonly slot?: string;
  /** `sdk` lets the installed release write; default: direct, and sdk where no direct adapter fits. */
  readonly via?: 'direct' | 'sdk';
}

/** Where a host's files are, before anything is known of what they hold. Nothing here has been read. */
export interface Places {
  readonly home: string;
  readonly stateDir: string;
  readonly configPath: string;
  /** OPENCLAW_AGENT_DIR or PI_CODING_AGENT_DIR: moves the main agent's store; null when neither is set. */
  readonly mainAgentDir: string | null;
  /** What led to the state directory, for messages: `--state-dir`, a variable's name, `--profile` or `home`. */
  readonly said: string;
}

/** Older names of the state directory, used only while `.openclaw` does not exist (2026.3.28 knows both, 5.7 the first). */
const LEGACY_STATE = ['.clawdbot', '.moldbot'];
const LEGACY_CONFIG = ['clawdbot.json', 'moldbot.json'];
/** OpenClaw's own rule, which it applies to every `--profile` (2026.3.28 and 5.7: `isValidProfileName`). */
const PROFILE_NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/i;

/**
 * OpenClaw's own rules for its state directory, config and main agent directory (2026.3.28 and 5.7: `resolveStateDir`,
 * `resolveConfigPath`, `resolveOpenClawAgentDir`).
 * @throws USAGE for a relative or broken path, or a profile name OpenClaw would refuse.
 */
export function findPlaces(env: Env, cwd: string, options: HostOptions): Places {
  const home = hostHome(env);
  const { stateDir, said } = findStateDir(env, cwd, home, options);
  // With --state-dir the other variables speak of the ambient host, unless that is the very one meant.
  const ambient = said !== '--state-dir' || variable(env, 'OPENCLAW_STATE_DIR', home) === stateDir;
  const config = ambient ? variable(env, 'OPENCLAW_CONFIG_PATH', home) : null;
  const agentDir = ambient
    ? (variable(env, 'OPENCLAW_AGENT_DIR', home) ?? variable(env, 'PI_CODING_AGENT_DIR', home))
    : null;
  const named = ['openclaw.json', ...LEGACY_CONFIG].map((name) => join(stateDir, name));
  const configPath = config ?? named.find((path) => existsSync(path)) ?? join(stateDir, 'openclaw.json');
  return { home, stateDir, configPath, mainAgentDir: agentDir, said };
}

/** `~` expanded and made absolute the way OpenClaw does it. @throws USAGE, naming `what`, otherwise. */
export function absolutePath(text: string, home: string, what: string): string {
  const expanded = expandHome(text.trim(), home);
  if (text.includes('\0') || !isAbsolute(expanded)) {
    throw new RouterError('USAGE', `${what} is not an absolute path`, {
      hint: 'give a full path, or one from ~/',
    });
  }
  return resolve(expanded);
}

function findStateDir(
  env: Env,
  cwd: string,
  home: string,
  options: HostOptions,
): { stateDir: string; said: string } {
  const profile = options.profile?.trim();
  if (profile !== undefined && !PROFILE_NAME.test(profile)) {
    throw new RouterError('USAGE', 'an OpenClaw profile is named by letters, digits, - and _', {
      hint: 'give the name you give to openclaw --profile',
    });
  }
  if (options.stateDir !== undefined) {
    const given = options.stateDir.trim();
    if (given === '' || given.includes('\0')) {
      throw new RouterError('USAGE', '--state-dir needs a folder', {
        hint: 'for example --state-dir ~/.openclaw',
      });
    }
    return { stateDir: resolve(cwd, expandHome(given, home)), said: '--state-dir' };
  }
  const set = variable(env, 'OPENCLAW_STATE_DIR', home);
  if (set !== null) return { stateDir: set, said: 'OPENCLAW_STATE_DIR' };
  if (profile !== undefined && profile.toLowerCase() !== 'default') {
    return { stateDir: profileDir(home, profile), said: '--profile' };
  }
  const usual = join(home, '.openclaw');
  const legacy = LEGACY_STATE.map((name) => join(home, name)).find((path) => existsSync(path));
  return { stateDir: existsSync(usual) ? usual : (legacy ?? usual), said: 'home' };
}

/** The state directory of a profile. */
export function profileDir(home: string, profile: string): string {
  const name = profile.trim();
  return join(home, name.toLowerCase() === 'default' ? '.openclaw' : `.openclaw-${name}`);
}

function hostHome(env: Env): string {
  const ownHome = [env.HOME, env.USERPROFILE].map(named).find((path) => path !== null) ?? homedir();
  const host = named(env.OPENCLAW_HOME);
  return resolve(host === null ? ownHome : expandHome(host, ownHome));
}

/** OpenClaw takes a blank and the words a careless script leaves behind as unset. */
function named(value: string | undefined): string | null {
  const text = filled(value);
  return text === 'undefined' || text === 'null' ? null : text;
}

function variable(env: Env, name: string, home: string): string | null {
  const value = filled(env[name]);
  return value === null ? null : absolutePath(value, home, name);
}
