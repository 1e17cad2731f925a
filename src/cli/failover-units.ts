import { isAbsolute } from 'node:path';
import { RouterError } from '../errors.js';
import type { Env } from '../os/folders.js';
import { homeFolder } from '../os/folders.js';

/** What a service manager is to run. */
export interface UnitPlan {
  /** The Node that runs it; absolute. */
  readonly node: string;
  /** codex-router's launcher; absolute. */
  readonly program: string;
  /** `failover watch` and what comes behind it. */
  readonly args: readonly string[];
  /** Names and values. */
  readonly env: readonly (readonly [string, string])[];
  readonly apply: boolean;
}

/** The one name of the service, under which `uninstall` looks for it. */
export const SERVICE_NAME = 'codex-router-failover.service';
export const AGENT_LABEL = 'codex-router.failover';

/**
 * Variables that say where something lies. Beside the gateway's port nothing else goes into a unit: what is no path may be a secret.
 * HTTPS_PROXY and its like may hold a password.
 */
const PLACES = [
  'CODEX_ROUTER_HOME',
  'CODEX_ROUTER_KEY_FILE',
  'CODEX_ROUTER_PASSPHRASE_FILE',
  'CODEX_HOME',
  'NODE_EXTRA_CA_CERTS',
  'OPENCLAW_AGENT_DIR',
  'OPENCLAW_CONFIG_PATH',
  'OPENCLAW_HOME',
  'OPENCLAW_OAUTH_DIR',
  'OPENCLAW_STATE_DIR',
  'PI_CODING_AGENT_DIR',
  'TMPDIR',
  'XDG_CONFIG_HOME',
  'XDG_DATA_HOME',
] as const;

/** Without it the watch would look for running turns where no gateway is. */
const PORT = 'OPENCLAW_GATEWAY_PORT';

/** Variables that a unit does not take over, though the watch would heed them. */
export const LEFT_OUT = [
  'HTTPS_PROXY',
  'https_proxy',
  'ALL_PROXY',
  'all_proxy',
  'OPENCLAW_AUTH_PROFILE_SECRET_KEY',
  'OPENCLAW_GATEWAY_PASSWORD',
  'OPENCLAW_GATEWAY_TOKEN',
  'OPENCLAW_GATEWAY_URL',
] as const;

const SYSTEM_PATH = ['/usr/local/bin', '/usr/bin', '/bin'];

/**
 * Where things lie for the watch as they do for this shell, and a PATH on which its Node and OpenClaw are found.
 * @param folders of programs that it needs, absolute
 */
export function unitEnvironment(env: Env, folders: readonly string[]): UnitPlan['env'] {
  const home = homeFolder(env);
  const places = PLACES.flatMap((name): [string, string][] => {
    const value = env[name]?.replace(/^~(?=\/|$)/, () => home);
    return value !== undefined && isAbsolute(value) ? [[name, value]] : [];
  });
  const port = env[PORT]?.trim() ?? '';
  return [
    ['PATH', [...new Set([...folders, ...SYSTEM_PATH])].join(':')],
    ...places,
    ...(/^\d{1,5}$/.test(port) ? ([[PORT, port]] as const) : []),
  ];
}

/** A unit of the person's own systemd (`systemctl --user`). @throws USAGE for what no unit can hold */
export function systemdUnit({ node, program, args, env, apply }: UnitPlan): string {
  const command = [node, program, ...args].map(unitWord).join(' ');
  return [
    '[Unit]',
    `Description=codex-router failover watch (${modeOf(apply)})`,
    'Documentation=https://github.com/codex-router/codex-router#readme',
    '',
    '[Service]',
    'Type=exec',
    `ExecStart=${command}`,
    ...env.map(([name, value]) => `Environment=${unitValue(`${name}=${value}`)}`),
    'Restart=on-failure',
    'RestartSec=60',
    '# Ended by Ctrl-C, by systemd or by "codex-router failover stop": that is no failure.',
    'SuccessExitStatus=130 143',
    '# The command line, the settings or the scope are wrong, or another watch runs: starting again mends none of it.',
    'RestartPreventExitStatus=2 6 75',
    'TimeoutStopSec=90',
    'UMask=0077',
    'NoNewPrivileges=yes',
    '',
    '[Install]',
    'WantedBy=default.target',
    '',
  ].join('\n');
}

/** A launch agent of the person's own (macOS). @throws USAGE for what no plist can hold */
export function launchdPlist({ node, program, args, env, apply }: UnitPlan): string {
  const words = [node, program, ...args].map((word) => `    <string>${xmlText(word)}</string>`);
  const variables = env.flatMap(([name, value]) => [
    `    <key>${xmlText(name)}</key>`,
    `    <string>${xmlText(value)}</string>`,
  ]);
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    '<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">',
    '<plist version="1.0">',
    `<!-- codex-router failover watch (${modeOf(apply)}) -->`,
    '<dict>',
    '  <key>Label</key>',
    `  <string>${AGENT_LABEL}</string>`,
    '  <key>ProgramArguments</key>',
    '  <array>',
    ...words,
    '  </array>',
    '  <key>EnvironmentVariables</key>',
    '  <dict>',
    ...variables,
    '  </dict>',
    '  <key>RunAtLoad</key>',
    '  <true/>',
    '  <!-- Not after "codex-router failover stop", which ends it with a status that is not 0. -->',
    '  <key>KeepAlive</key>',
    '  <dict>',
    '    <key>Crashed</key>',
    '    <true/>',
    '  </dict>',
    '  <key>ThrottleInterval</key>',
    '  <integer>60</integer>',
    '  <key>ProcessType</key>',
    '  <string>Background</string>',
    '  <!-- 0077 -->',
    '  <key>Umask</key>',
    '  <integer>63</integer>',
    '</dict>',
    '</plist>',
    '',
  ].join('\n');
}

function modeOf(apply: boolean): string {
  return apply ? 'applies what it decides' : 'dry run: changes nothing';
}

/** systemd.service(5), "Command lines": quoted, with specifiers and variables taken literally. */
function unitWord(word: string): string {
  const text = quoted(word).replaceAll('$', '$$$$');
  return /^[\w@+=:,./-]+$/.test(word) ? word : text;
}

/** systemd.exec(5), Environment=: no variable is expanded there. */
function unitValue(text: string): string {
  return quoted(text);
}

function quoted(text: string): string {
  const escaped = plain(text).replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('%', '%%');
  return `"${escaped}"`;
}

function xmlText(text: string): string {
  return plain(text).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/** @throws USAGE for a line break or another control character: one in a path or a key would begin a line of its own */
function plain(text: string): string {
  if (!/\p{Cc}/u.test(text)) return text;
  throw new RouterError('USAGE', 'a path or a session key with a control character cannot go into a unit', {
    hint: 'put the sessions into the configuration: codex-router config set failover.sessions <key>',
  });
}
