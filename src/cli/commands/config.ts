import { RouterError } from '../../errors.js';
import { routerFolders } from '../../os/folders.js';
import type { Cli } from '../cli.js';
import { compose } from '../compose.js';
import { type ConfigDocument, DONE } from '../documents.js';
import { AGENT_ABILITIES, type AgentAbility, allowAgents, readSettings, settingsPath } from '../settings.js';

/** `codex-router config get [name]` */
export async function runConfigGet(cli: Cli, name: string | undefined): Promise<void> {
  if (name !== undefined) requireKnown(name);
  const document = await look(cli);
  const value = allowed(document);
  cli.print(document, () => (name === undefined ? `agents.allow = ${value}` : value));
}

/** `codex-router config set <name> <value...>` */
export async function runConfigSet(cli: Cli, name: string, values: readonly string[]): Promise<void> {
  requireKnown(name);
  const allow = abilitiesOf(values);
  const { folders, withLock } = compose(cli, {});
  await withLock(() => allowAgents(folders.config, allow));
  const document = await look(cli);
  cli.print(document, () => `agents.allow = ${allowed(document)}`);
}

/** `codex-router config path` */
export async function runConfigPath(cli: Cli): Promise<void> {
  const document = await look(cli);
  cli.print(document, () => document.path);
}

async function look({ env, platform }: Cli): Promise<ConfigDocument> {
  const { config } = routerFolders(env, platform);
  const { agents } = await readSettings(config);
  return { ...DONE, path: settingsPath(config), settings: { agents: { allow: [...agents.allow] } } };
}

function allowed({ settings }: ConfigDocument): string {
  return settings.agents.allow.join(' ') || 'none';
}

/** @throws USAGE for anything but known names, or `none` alone */
function abilitiesOf(values: readonly string[]): readonly AgentAbility[] {
  const words = values.flatMap((value) => value.split(',')).filter((word) => word !== '');
  if (words.length === 1 && words[0] === 'none') return [];
  const known = words.flatMap((word) => AGENT_ABILITIES.find((ability) => ability === word) ?? []);
  if (known.length === words.length && known.length > 0) return known;
  throw new RouterError('USAGE', `agents.allow takes ${AGENT_ABILITIES.join(', ')}, or none`, {
    hint: 'codex-router config set --help',
  });
}

function requireKnown(name: string): void {
  if (name === 'agents.allow') return;
  throw new RouterError('USAGE', 'there is no such setting: only agents.allow', {
    hint: 'codex-router config --help',
  });
}
