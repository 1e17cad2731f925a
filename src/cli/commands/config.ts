import { RouterError } from '../../errors.js';
import type { Json } from '../../json.js';
import { routerFolders } from '../../os/folders.js';
import type { FailoverSettings } from '../../router/failover-settings.js';
import { showText } from '../../text.js';
import type { Cli } from '../cli.js';
import { compose } from '../compose.js';
import { type ConfigDocument, DONE } from '../documents.js';
import { FAILOVER_MEMBERS, type FailoverMember, nameOf } from '../failover-members.js';
import {
  AGENT_ABILITIES,
  type AgentAbility,
  allowAgents,
  readSettings,
  type Settings,
  setFailover,
  settingsPath,
} from '../settings.js';

const AGENTS = 'agents.allow';

/** `codex-router config get [name]` */
export async function runConfigGet(cli: Cli, name: string | undefined): Promise<void> {
  const group = groupOf(name);
  const setting = group === null && name !== undefined ? settingOf(name) : null;
  const { document, settings } = await look(cli);
  cli.print(document, () =>
    setting === null
      ? (group ?? [AGENTS, ...FAILOVER_MEMBERS]).map((one) => lineOf(one, settings)).join('\n')
      : shownOf(setting, settings),
  );
}

/** `codex-router config set <name> <value...>` */
export async function runConfigSet(cli: Cli, name: string, values: readonly string[]): Promise<void> {
  const setting = settingOf(name);
  const { folders, withLock } = compose(cli, {});
  if (setting === AGENTS) {
    const allow = abilitiesOf(values);
    await withLock(() => allowAgents(folders.config, allow));
  } else {
    const value = failoverValue(setting, values);
    await withLock(() => setFailover(folders.config, setting, value));
  }
  const { document, settings } = await look(cli);
  cli.print(document, () => lineOf(setting, settings));
}

/** `codex-router config path` */
export async function runConfigPath(cli: Cli): Promise<void> {
  const { document } = await look(cli);
  cli.print(document, () => document.path);
}

async function look({
  env,
  platform,
}: Cli): Promise<{ readonly document: ConfigDocument; readonly settings: Settings }> {
  const { config } = routerFolders(env, platform);
  const settings = await readSettings(config);
  const { agents, failover } = settings;
  const document = {
    ...DONE,
    path: settingsPath(config),
    settings: { agents: { allow: [...agents.allow] }, failover: told(failover) },
  };
  return { document, settings };
}

/** In the units of config.json. */
function told(settings: FailoverSettings): ConfigDocument['settings']['failover'] {
  const { command = null, message = null } = settings.notify ?? {};
  return {
    sessions: [...settings.sessions],
    order: [...settings.order],
    thresholdPercent: { ...settings.thresholdPercent },
    hysteresisPercent: settings.hysteresisPercent,
    dwellMinutes: settings.dwellMs / 60_000,
    restMinutes: settings.restMs / 60_000,
    quietSeconds: settings.quietMs / 1000,
    maxSwitchesPerHour: settings.maxSwitchesPerHour,
    hardFailures: settings.hardFailures,
    goodReads: settings.goodReads,
    intervalSeconds: settings.intervalMs / 1000,
    notify: { command: command === null ? null : [...command], message },
  };
}

type Setting = typeof AGENTS | FailoverMember;

function lineOf(setting: Setting, settings: Settings): string {
  return `${setting === AGENTS ? AGENTS : nameOf(setting)} = ${shownOf(setting, settings)}`;
}

function shownOf(setting: Setting, { agents, failover }: Settings): string {
  return setting === AGENTS ? agents.allow.join(' ') || 'none' : showText(setting.show(failover), 2000);
}

/** @throws USAGE for anything but known names, or `none` alone */
function abilitiesOf(values: readonly string[]): readonly AgentAbility[] {
  const words = values.flatMap((value) => value.split(',')).filter((word) => word !== '');
  if (words.length === 1 && words[0] === 'none') return [];
  const known = words.flatMap((word) => AGENT_ABILITIES.find((ability) => ability === word) ?? []);
  if (known.length === words.length && known.length > 0) return known;
  throw usage(`agents.allow takes ${AGENT_ABILITIES.join(', ')}, or none`);
}

/** Null for the default. @throws USAGE */
function failoverValue(member: FailoverMember, values: readonly string[]): Json {
  const words = values.map((value) => value.trim()).filter((word) => word !== '');
  if (words.length === 1 && words[0] === 'default') return null;
  const value = words.length === 0 ? undefined : member.parse(words);
  if (value !== undefined) return value;
  throw usage(`${nameOf(member)} is ${member.takes}`);
}

/** The settings below `failover`, `failover.thresholdPercent` or `failover.notify`; null for another name. */
function groupOf(name: string | undefined): readonly Setting[] | null {
  const below = FAILOVER_MEMBERS.filter((member) => nameOf(member).startsWith(`${name}.`));
  return below.length === 0 ? null : below;
}

/** @throws USAGE */
function settingOf(name: string): Setting {
  if (name === AGENTS) return name;
  const member = FAILOVER_MEMBERS.find((one) => nameOf(one) === name);
  if (member !== undefined) return member;
  const below = FAILOVER_MEMBERS.map(nameOf).filter((one) => one.startsWith(`${name}.`));
  if (below.length > 0) throw usage(`${name} is set part by part: ${below.join(', ')}`);
  throw usage(`there is no such setting: only ${AGENTS}, ${FAILOVER_MEMBERS.map(nameOf).join(', ')}`);
}

function usage(message: string): RouterError {
  return new RouterError('USAGE', message, { hint: 'codex-router config set --help' });
}
