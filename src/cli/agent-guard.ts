import { RouterError } from '../errors.js';
import { routerFolders } from '../os/folders.js';
import type { Cli } from './cli.js';
import type { AgentAbility } from './settings.js';

/** What was typed: options by commander's names, and the arguments. */
type Asked = { readonly [option: string]: unknown };

interface Decision {
  /** Whether what was typed only looks: writes nothing, and shows no secret. */
  readonly looks: (options: Asked, args: readonly unknown[]) => boolean;
  /** What `agents.allow` has to name for the rest; null: that is for a person. */
  readonly ability: AgentAbility | null;
  /** Options that stay a person's even so, and why. */
  readonly never?: { readonly [option: string]: string };
}

const LOOKS: Decision = { looks: () => true, ability: null };
const PERSON: Decision = { looks: () => false, ability: null };
const PLANS: Decision = { looks: isPlan, ability: null };
/** Of the commands that are a dry run unless told otherwise. */
const DRY: Decision = { looks: ({ apply }) => apply !== true, ability: null };

function isPlan({ dryRun }: Asked): boolean {
  return dryRun === true;
}

/**
 * What an agent may do, by command: one that is not here may do nothing, and fails a test. What moves, reveals or deletes a grant,
 * changes who is meant by a name, or changes this very table, is for a person.
 */
export const DECISIONS: { readonly [command: string]: Decision } = {
  list: LOOKS,
  status: LOOKS,
  usage: LOOKS,
  explain: LOOKS,
  history: LOOKS,
  doctor: {
    looks: ({ fix, undo, bundle = true }) => fix !== true && undo === undefined && bundle === true,
    ability: null,
  },
  host: LOOKS,
  'host adopt': PLANS,
  'login status': LOOKS,
  'vault status': { looks: ({ check }) => check !== true, ability: null },
  'plugin path': LOOKS,
  'plugin snippet': LOOKS,
  'session show': LOOKS,
  'failover check': LOOKS,
  'failover once': DRY,
  'failover leave': DRY,
  'failover log': LOOKS,
  'failover status': LOOKS,
  'failover unit': LOOKS,
  'config get': LOOKS,
  'config path': LOOKS,
  'config snippet': LOOKS,

  use: {
    looks: isPlan,
    ability: 'use',
    never: {
      move: 'it takes the login from another holder',
      fixLabels: "it changes OpenClaw's configuration",
    },
  },
  undo: { looks: isPlan, ability: 'undo' },
  sync: {
    looks: () => false,
    ability: 'sync',
    never: { wait: 'it would wait for the very turn that runs it' },
  },
  /** Asks again here for what its text means, see src/cli/chat. */
  chat: LOOKS,

  login: PERSON,
  'login start': PERSON,
  'login finish': PERSON,
  'login cancel': PERSON,
  add: PERSON,
  import: PLANS,
  alias: PERSON,
  remove: PLANS,
  restore: { looks: (options, [which]) => which === undefined || isPlan(options), ability: null },
  refresh: PERSON,
  lend: PERSON,
  unlend: PERSON,
  logout: PLANS,
  export: PERSON,
  eject: PLANS,
  uninstall: PLANS,
  'vault init': PERSON,
  'vault rekey': PERSON,
  'vault add-key': PERSON,
  'failover watch': PERSON,
  'failover stop': PERSON,
  'session set': PLANS,
  'session clear': PLANS,
  'config set': PERSON,
};

/**
 * Whether an agent runs this program: `exec` and OpenClaw's other marks of one. What a person types into OpenClaw's own terminal (`tui-local`)
 * is a person's. An agent can take the mark away: this is a guard-rail, not a boundary (SECURITY.md).
 */
export function isAgent(env: Cli['env']): boolean {
  const shell = env.OPENCLAW_SHELL?.trim() ?? '';
  return shell !== '' && shell !== 'tui-local';
}

/**
 * Refuses what an agent may not do; nothing for a person. Reads the settings only where they decide.
 * @param path the command's words, as in `DECISIONS`
 * @throws AGENT_REFUSED; CONFIG_UNREADABLE, IO
 */
export async function refuseAgent(
  cli: Pick<Cli, 'env' | 'platform'>,
  path: string,
  options: object,
  args: readonly unknown[],
): Promise<void> {
  if (!isAgent(cli.env)) return;
  const decision = Object.hasOwn(DECISIONS, path) ? DECISIONS[path] : undefined;
  const asked: Asked = { ...options };
  if (decision?.looks(asked, args)) return;
  if (decision === undefined || decision.ability === null) {
    throw refused(`codex-router ${path} is for a person, and an agent asks`, ASK);
  }
  for (const [option, why] of Object.entries(decision.never ?? {})) {
    if (asked[option] !== undefined && asked[option] !== false) {
      throw refused(`that option of codex-router ${path} is not for an agent: ${why}`, ASK);
    }
  }
  const { readSettings } = await import('./settings.js');
  const { agents } = await readSettings(routerFolders(cli.env, cli.platform).config);
  if (agents.allow.includes(decision.ability)) return;
  throw refused(
    `agents are not allowed to run codex-router ${path}: agents.allow in the configuration does not name ${decision.ability}`,
    `ask the person: /codex_profile in the chat, or in their terminal codex-router config set agents.allow ${[...agents.allow, decision.ability].join(' ')}`,
  );
}

const ASK =
  'ask the person to do it in a terminal of their own; agents.allow in the configuration cannot allow it';

/** A command as `DECISIONS` names it. */
export function pathOf(command: Named): string {
  return command.parent?.parent ? `${pathOf(command.parent)} ${command.name()}` : command.name();
}

interface Named {
  name(): string;
  readonly parent: Named | null;
}

function refused(message: string, hint: string): RouterError {
  return new RouterError('AGENT_REFUSED', message, { hint });
}
