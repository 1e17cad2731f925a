import { existsSync } from 'node:fs';
import { delimiter, dirname, isAbsolute, join, resolve } from 'node:path';
import { RouterError } from '../../errors.js';
import { type Env, homeFolder, routerFolders } from '../../os/folders.js';
import { shellWord } from '../../text.js';
import type { Cli } from '../cli.js';
import { DONE, type FailoverUnitDocument } from '../documents.js';
import { modeOf } from '../failover-look.js';
import {
  AGENT_LABEL,
  LEFT_OUT,
  launchdPlist,
  SERVICE_NAME,
  systemdUnit,
  type UnitPlan,
  unitEnvironment,
} from '../failover-units.js';
import { readSettings } from '../settings.js';
import { type FailoverWatchOptions, intervalOf } from './failover-watch.js';

export interface FailoverUnitOptions extends Omit<FailoverWatchOptions, 'names'> {
  readonly systemd?: boolean;
  readonly launchd?: boolean;
}

/** `codex-router failover unit`: prints what runs the watch as a service of this user. Writes nothing, starts nothing. */
export async function runFailoverUnit(cli: Cli, options: FailoverUnitOptions): Promise<void> {
  const kind = kindOf(cli, options);
  const plan = unitPlan(cli, options);
  const { failover } = await readSettings(routerFolders(cli.env, cli.platform).config);
  intervalOf(cli, options, failover);
  const place = kind === 'systemd' ? systemdPlace(cli.env) : launchdPlace(cli.env);
  const document: FailoverUnitDocument = {
    ...DONE,
    kind,
    apply: plan.apply,
    path: place.path,
    text: kind === 'systemd' ? systemdUnit(plan) : launchdPlist(plan),
    install: [...place.install(againLine(kind, options))],
    remove: [...place.remove],
    notes: notesOf(cli, options, failover.sessions),
  };
  cli.print(document, () => document.text.trimEnd());
  if (cli.json) return;
  for (const line of ['to install it:', ...document.install.map((one) => `  ${one}`)]) cli.say(line);
  for (const line of ['to remove it:', ...document.remove.map((one) => `  ${one}`)]) cli.say(line);
  for (const { text } of document.notes) cli.say(`note: ${text}`);
}

function kindOf({ platform }: Cli, { systemd, launchd }: FailoverUnitOptions): 'systemd' | 'launchd' {
  if (systemd && launchd) {
    throw new RouterError('USAGE', '--systemd and --launchd are one or the other', {
      hint: 'codex-router failover unit --help',
    });
  }
  if (systemd || launchd) return systemd ? 'systemd' : 'launchd';
  if (platform === 'win32') {
    throw new RouterError('PLATFORM_UNSUPPORTED', 'there is no unit for Windows', {
      hint: 'codex-router failover unit --systemd, for WSL',
    });
  }
  return platform === 'darwin' ? 'launchd' : 'systemd';
}

function unitPlan({ env }: Cli, options: FailoverUnitOptions): UnitPlan {
  const node = process.execPath;
  return {
    node,
    program: join(import.meta.dirname, 'codex-router.js'),
    args: ['failover', 'watch', ...argsOf(options)],
    env: unitEnvironment(env, [dirname(node), ...openclawFolders(env)]),
    apply: options.apply === true,
  };
}

function argsOf(options: FailoverUnitOptions): readonly string[] {
  const { session = [], stateDir, profile, slot, via, interval, apply } = options;
  const mode = modeOf(options);
  const given = (name: string, value: string | undefined) => (value === undefined ? [] : [name, value]);
  return [
    ...session.flatMap((key) => ['--session', key]),
    ...(mode === 'named' ? [] : [`--${mode}-slot`]),
    ...given('--interval', interval),
    ...given('--state-dir', stateDir === undefined ? undefined : resolve(stateDir)),
    ...given('--profile', profile),
    ...given('--slot', slot),
    ...given('--via', via),
    ...(apply ? ['--apply'] : []),
  ];
}

/** The folder in which this shell finds `openclaw`, which tells the release and sends messages; none where it finds none. */
function openclawFolders({ PATH = '' }: Env): readonly string[] {
  const found = PATH.split(delimiter).find(
    (folder) => isAbsolute(folder) && existsSync(join(folder, 'openclaw')),
  );
  return found === undefined ? [] : [found];
}

interface Place {
  readonly path: string;
  readonly install: (command: string) => readonly string[];
  readonly remove: readonly string[];
}

function systemdPlace(env: Env): Place {
  const config = env.XDG_CONFIG_HOME || join(homeFolder(env), '.config');
  const path = join(config, 'systemd', 'user', SERVICE_NAME);
  return {
    path,
    install: (command) => [
      `mkdir -p ${shellWord(dirname(path))}`,
      `(umask 077; ${command} > ${shellWord(path)})`,
      `systemctl --user daemon-reload && systemctl --user enable --now ${SERVICE_NAME}`,
      'loginctl enable-linger   # only where it is to run while you are not logged in',
    ],
    remove: [
      `systemctl --user disable --now ${SERVICE_NAME}`,
      `rm ${shellWord(path)} && systemctl --user daemon-reload`,
    ],
  };
}

function launchdPlace(env: Env): Place {
  const path = join(homeFolder(env), 'Library', 'LaunchAgents', `${AGENT_LABEL}.plist`);
  return {
    path,
    install: (command) => [
      `mkdir -p ${shellWord(dirname(path))}`,
      `(umask 077; ${command} > ${shellWord(path)})`,
      `launchctl bootstrap gui/$(id -u) ${shellWord(path)}`,
    ],
    remove: [`launchctl bootout gui/$(id -u)/${AGENT_LABEL}`, `rm ${shellWord(path)}`],
  };
}

/** The command that printed it, without what goes to the person. */
function againLine(kind: 'systemd' | 'launchd', options: FailoverUnitOptions): string {
  return ['codex-router', 'failover', 'unit', `--${kind}`, ...argsOf(options)].map(shellWord).join(' ');
}

function notesOf(
  { env }: Cli,
  { apply, session = [] }: FailoverUnitOptions,
  configured: readonly string[],
): FailoverUnitDocument['notes'] {
  const left = LEFT_OUT.filter((name) => env[name]);
  const mode = apply
    ? {
        code: 'UNIT_APPLIES',
        text: 'this service switches by itself; without --apply it only tells what it would do',
      }
    : { code: 'UNIT_DRY_RUN', text: 'this service changes nothing; with --apply it switches' };
  return [
    mode,
    ...(session.length > 0 || configured.length > 0
      ? []
      : [
          {
            code: 'FAILOVER_NO_SESSIONS',
            text: 'no session is named, and the configuration lists none: codex-router config set failover.sessions <key>',
          },
        ]),
    ...(left.length === 0
      ? []
      : [
          {
            code: 'UNIT_SECRET_LEFT_OUT',
            text: `${left.join(', ')} may hold a secret, and no secret goes into the unit: systemctl --user edit, or the plist, takes it`,
          },
        ]),
  ];
}
