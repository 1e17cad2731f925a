import * as z from 'zod/mini';
import { RouterError } from '../errors.js';
import type { JsonObject } from '../json.js';
import type { Env } from '../os/folders.js';
import { readConfigFile } from './includes.js';
import { absolutePath } from './places.js';

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
  /** `auth.profiles`: ids with the mode and e-mail the person configured. */
  readonly profiles: {
    readonly [id: string]: { readonly mode: string | null; readonly email: string | null };
  };
}

const Text = z.nullish(z.string());
const Agent = z.looseObject({ id: Text, default: z.nullish(z.boolean()), agentDir: Text });
const Profile = z.looseObject({ mode: Text, email: Text });
const Shape = z.looseObject({
  meta: z.nullish(z.looseObject({ lastTouchedVersion: Text })),
  agents: z.nullish(z.looseObject({ list: z.nullish(z.array(z.nullable(Agent))) })),
  session: z.nullish(z.looseObject({ store: Text })),
  auth: z.nullish(z.looseObject({ profiles: z.nullish(z.record(z.string(), Profile)) })),
});

/**
 * An absent file reads as an empty configuration.
 * @throws HOST_UNREADABLE when it cannot be parsed, or a part that decides where the slot is has the wrong type.
 */
export async function readConfig(path: string): Promise<HostConfig> {
  return parseConfig(path, (await readConfigFile(path)) ?? {});
}

function parseConfig(path: string, value: JsonObject): HostConfig {
  const parsed = Shape.safeParse(value);
  if (!parsed.success) {
    const where = parsed.error.issues[0]?.path.join('.') ?? '';
    throw new RouterError('HOST_UNREADABLE', `cannot understand ${path}: ${where} has the wrong type`, {
      hint: 'openclaw config validate says what is wrong',
      cause: parsed.error,
    });
  }
  const { meta, agents, session, auth } = parsed.data;
  return {
    path,
    value,
    agents: (agents?.list ?? []).flatMap((agent) =>
      agent === null
        ? []
        : [
            {
              id: agentId(agent.id ?? ''),
              isDefault: agent.default === true,
              agentDir: blank(agent.agentDir),
            },
          ],
    ),
    sessionStore: blank(session?.store),
    lastTouched: blank(meta?.lastTouchedVersion),
    profiles: Object.fromEntries(
      Object.entries(auth?.profiles ?? {}).map(([id, profile]) => [
        id,
        { mode: blank(profile.mode), email: blank(profile.email) },
      ]),
    ),
  };
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
  const filled = text.replace(/\$(\$?)\{([A-Z_][A-Z0-9_]*)\}/g, (_match, escaped: string, name: string) => {
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
    return absolutePath(filled, home, what);
  } catch (error) {
    throw new RouterError('HOST_UNREADABLE', `${what} in openclaw.json is not an absolute path`, {
      hint: 'OpenClaw resolves it against the folder it was started in; make it a full path',
      cause: error,
    });
  }
}

function blank(text: string | null | undefined): string | null {
  const trimmed = text?.trim();
  return trimmed === undefined || trimmed === '' ? null : trimmed;
}
