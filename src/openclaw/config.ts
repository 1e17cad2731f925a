import { RouterError } from '../errors.js';
import { isObject, type Json, type JsonObject } from '../json.js';
import type { Env } from '../os/folders.js';
import { readConfigFile } from './includes.js';
import { absolutePath } from './places.js';
import { filled } from './text.js';

/** What codex-router needs of openclaw.json; `value` is the whole of it, `${NAME}` not yet replaced. */
export interface HostConfig {
  readonly path: string;
  readonly value: JsonObject;
  /** In the file's order; empty when it names none. Ids are OpenClaw's normalized form. */
  readonly agents: readonly {
    readonly id: string;
    readonly isDefault: boolean;
    readonly agentDir: string | null;
  }[];
  /** `session.store` as written, `{agentId}` and `~` still in it; null when not set. */
  readonly sessionStore: string | null;
  /** The release that last wrote the file. */
  readonly lastTouched: string | null;
  /** `auth.profiles`: ids with the provider, mode and e-mail the person configured. */
  readonly profiles: {
    readonly [id: string]: {
      readonly provider: string | null;
      readonly mode: string | null;
      readonly email: string | null;
    };
  };
  /** `auth.order`, by provider as it is written; one that is no list of ids is left out, as OpenClaw refuses such a file. */
  readonly order: { readonly [provider: string]: readonly string[] };
}

/**
 * An absent file reads as an empty configuration.
 * @throws HOST_UNREADABLE when it cannot be parsed, or a part that decides where the slot is has the wrong type.
 */
export async function readConfig(path: string): Promise<HostConfig> {
  return parseConfig(path, (await readConfigFile(path)) ?? {});
}

/** By hand, like all that `list` reads: loading zod would be a third of its time (docs/decisions/0006). */
function parseConfig(path: string, value: JsonObject): HostConfig {
  const { objectAt, textAt, wrong } = partsOf(path);
  const lastTouched = textAt(objectAt(value.meta, 'meta').lastTouchedVersion, 'meta.lastTouchedVersion');
  const agents = parseAgents(path, objectAt(value.agents, 'agents'));
  const sessionStore = textAt(objectAt(value.session, 'session').store, 'session.store');
  const configured = objectAt(objectAt(value.auth, 'auth').profiles, 'auth.profiles');
  const profiles = Object.entries(configured).map(([id, found]) => {
    const where = `auth.profiles.${id}`;
    if (!isObject(found)) throw wrong(where);
    const provider = textAt(found.provider, `${where}.provider`);
    const mode = textAt(found.mode, `${where}.mode`);
    return [id, { provider, mode, email: textAt(found.email, `${where}.email`) }] as const;
  });
  const order = ordersIn(value.auth);
  return { path, value, agents, sessionStore, lastTouched, profiles: Object.fromEntries(profiles), order };
}

function ordersIn(auth: Json | undefined): HostConfig['order'] {
  const orders = isObject(auth) && isObject(auth.order) ? Object.entries(auth.order) : [];
  const lists = orders.flatMap(([provider, ids]): [string, readonly string[]][] => {
    const named = Array.isArray(ids) ? ids.filter((id) => typeof id === 'string') : [];
    return Array.isArray(ids) && named.length === ids.length ? [[provider, named]] : [];
  });
  return Object.fromEntries(lists);
}

/** Readers of the parts of one file: what is absent or null is empty, another type is refused by its place. */
function partsOf(path: string) {
  const wrong = (where: string) =>
    new RouterError('HOST_UNREADABLE', `cannot understand ${path}: ${where} has the wrong type`, {
      hint: 'openclaw config validate says what is wrong',
    });
  const objectAt = (found: Json | undefined, where: string): JsonObject => {
    if (found === undefined || found === null) return {};
    if (isObject(found)) return found;
    throw wrong(where);
  };
  const textAt = (found: Json | undefined, where: string): string | null => {
    if (found === undefined || found === null) return null;
    if (typeof found !== 'string') throw wrong(where);
    return filled(found);
  };
  return { objectAt, textAt, wrong };
}

function parseAgents(path: string, roster: JsonObject): HostConfig['agents'] {
  const { objectAt, textAt, wrong } = partsOf(path);
  const agentAt = (found: Json, where: string): HostConfig['agents'] => {
    if (found === null) return [];
    const agent = objectAt(found, where);
    const id = agentId(textAt(agent.id, `${where}.id`) ?? '');
    const isDefault = agent.default ?? false;
    if (typeof isDefault !== 'boolean') throw wrong(`${where}.default`);
    return [{ id, isDefault, agentDir: textAt(agent.agentDir, `${where}.agentDir`) }];
  };
  const list = roster.list ?? [];
  if (!Array.isArray(list)) throw wrong('agents.list');
  const listed = list.flatMap((agent: Json, place) => agentAt(agent, `agents.list.${place}`));
  // From 8.1 the agents have their ids as names, and the default one is named beside them.
  const defaults = objectAt(roster.defaults, 'agents.defaults');
  const systemAgent = objectAt(defaults.systemAgent, 'agents.defaults.systemAgent');
  const system = textAt(systemAgent.agentId, 'agents.defaults.systemAgent.agentId');
  const named = Object.entries(objectAt(roster.entries, 'agents.entries')).flatMap(([id, agent]) => {
    const where = `agents.entries.${id}`;
    const entry = agentAt({ ...objectAt(agent, where), id }, where);
    return entry.map((one) => ({
      ...one,
      isDefault: one.isDefault || (system !== null && agentId(system) === one.id),
    }));
  });
  return [...listed, ...named];
}

/** OpenClaw's `normalizeAgentId` (5.7): lower case, anything but letters, digits, `-` and `_` becomes `-`. */
export function agentId(text: string): string {
  const lowered = text.trim().toLowerCase();
  if (/^[a-z0-9][a-z0-9_-]{0,63}$/.test(lowered)) return lowered;
  const mended = lowered
    .replace(/[^a-z0-9_-]+/g, '-')
    .replace(/^-+/, '')
    .replace(/-+$/, '');
  return mended.slice(0, 64) || 'main';
}

/**
 * A path from the configuration: `${NAME}` replaced, `~` expanded.
 * @throws HOST_UNREADABLE naming `what` when a variable is not set or the path is not absolute.
 */
export function configuredPath(text: string, what: string, env: Env, home: string): string {
  const whole = text.replace(/\$(\$?)\{([A-Z_][A-Z0-9_]*)\}/g, (_match, escaped: string, name: string) => {
    if (escaped !== '') return `\${${name}}`;
    const value = env[name];
    if (value !== undefined && value !== '') return value;
    throw new RouterError(
      'HOST_UNREADABLE',
      `${what} in openclaw.json needs ${name}, which is not set here`,
      {
        hint: `set ${name} as the gateway has it and run the command again`,
      },
    );
  });
  try {
    return absolutePath(whole, home, what);
  } catch (error) {
    throw new RouterError('HOST_UNREADABLE', `${what} in openclaw.json is not an absolute path`, {
      hint: 'OpenClaw resolves it against the folder it was started in; make it a full path',
      cause: error,
    });
  }
}
