import { join } from 'node:path';
import { RouterError } from '../errors.js';
import type { HostNote } from '../slot/host.js';
import type { HostConfig } from './config.js';
import { type FoundStores, findStores, hasLogins, loginProviders, tooLate } from './found-stores.js';
import type { Ground } from './ground.js';
import type { Layout, Provider } from './layout.js';
import { leftover, movedFrom, nameOf, reason, releaseReasons, unknownSchema } from './reasons.js';
import { compareVersions, type Release } from './release.js';
import type { DatabaseLook, StoreRows } from './sqlite-store.js';

/** How the logins of one OpenClaw are stored, and what led to that answer. Nothing has been written. */
export interface Examined {
  readonly layout: Layout;
  readonly provider: Provider;
  readonly release: Release | null;
  /** Where the main store is; null in the JSON layouts. */
  readonly shared: { readonly rows: StoreRows; readonly path: string } | null;
  /** The shared database, where there is one. */
  readonly statePath: string | null;
  /** Each database of an agent, by agent; null for one that does not exist. */
  readonly databases: ReadonlyMap<string, DatabaseLook | null>;
  /** Whether our own adapter knows these stores; `needsSdk` says why not. */
  readonly needsSdk: string | null;
  /** No login was ever stored here. */
  readonly isFresh: boolean;
  /** The highest `user_version` found of the shared database and of the agents' ones; 0 where there is none. */
  readonly schemas: { readonly state: number; readonly agent: number };
  readonly reasons: readonly HostNote[];
  readonly notes: readonly HostNote[];
  readonly refusal: RouterError | null;
}

/** `user_version` of the databases there are fixtures for: shared and agent's, 8.1 to 9.6; agent's, 6.5 to 7.35. */
const SCHEMAS = { shared: [15, 16, 17, 18], sharedAgent: [19, 21, 23], agent: [1] };

const FIRST = { renamed: '2026.6.1', agentDatabases: '2026.6.5', sharedDatabase: '2026.8.1' };

/**
 * Tells the layouts apart by what the state holds, checked against the release that was found. A mixed state is told by
 * `refusal`, whose hint is the remedy.
 * @throws SLOT_UNREADABLE, HOST_BUSY, HOST_NODE_TOO_OLD, IO when a database cannot be looked at
 */
export async function examine(ground: Ground): Promise<Examined> {
  const found = await findStores(ground);
  const hasDatabases = [...found.databases.values()].some((look) => look !== null);
  const { shared } = found.state ?? { shared: null };
  if (shared !== null) return examineShared(ground, found, shared);
  const damage = found.broken.get('main') ?? (hasDatabases ? undefined : [...found.broken.values()][0]);
  if (damage !== undefined) throw damage;
  if (found.state === null && !hasDatabases) return await examineJson(ground, found);
  // An empty store is one too, unless the logins still lie beside it.
  const owns = (look: DatabaseLook | null) =>
    look !== null && (hasLogins(look) || (look.rows.profiles !== null && found.json === null));
  const populated = [...found.databases.values()].some(owns);
  if (populated) return examineAgents(ground, found);
  return hasDatabases && !found.json
    ? fresh(ground, found, 'sqlite-agent')
    : await examineJson(ground, found);
}

async function examineJson(ground: Ground, found: FoundStores): Promise<Examined> {
  const release = ground.installed ?? touchedBy(ground.config, found.stateFile);
  if (release !== null && compareVersions(release.version, FIRST.agentDatabases) >= 0) {
    const later = compareVersions(release.version, FIRST.sharedDatabase) >= 0;
    const layout: Layout = later ? 'sqlite-shared' : 'sqlite-agent';
    if (found.json === null) return fresh(ground, found, layout);
    return refused(
      ground,
      found,
      layout,
      `${nameOf(release)} keeps its logins in SQLite, and here they still lie in ${found.json}`,
      'openclaw doctor --fix moves them; nothing was touched',
    );
  }
  const providers = found.json === null ? [] : await loginProviders(found.json);
  const renamed = providers.includes('openai') && !providers.includes('openai-codex');
  const atLeast = (bound: string) => release !== null && compareVersions(release.version, bound) >= 0;
  const provider: Provider =
    atLeast(FIRST.renamed) || (release === null && renamed) ? 'openai' : 'openai-codex';
  const layout: Layout =
    atLeast('2026.4.7') || (release === null && (found.stateFile || renamed)) ? 'json+state' : 'json';
  if (provider === 'openai-codex' && renamed) {
    return refused(
      ground,
      found,
      layout,
      `the logins in ${found.json} are of OpenClaw 2026.6.1 or later, which the installed ${nameOf(release)} does not use`,
      'install the later OpenClaw again; nothing was touched',
    );
  }
  if (provider === 'openai' && providers.includes('openai-codex') && !providers.includes('openai')) {
    return refused(
      ground,
      found,
      layout,
      `${nameOf(release)} calls the provider openai, and the logins here still say openai-codex`,
      'openclaw doctor --fix renames them; nothing was touched',
    );
  }
  return examined(ground, found, {
    layout,
    provider,
    release,
    reasons: [
      ...releaseReasons(ground, release),
      reason(
        'STORE_JSON',
        found.json === null ? 'no store was found yet' : `the logins lie in ${found.json}`,
      ),
      reason('PROVIDER', `this release calls the provider ${provider}`),
    ],
  });
}

function examineAgents(ground: Ground, found: FoundStores): Examined {
  const release = ground.installed;
  const layout: Layout = 'sqlite-agent';
  if (release !== null && compareVersions(release.version, FIRST.sharedDatabase) >= 0) {
    return refused(
      ground,
      found,
      layout,
      `${nameOf(release)} was installed over the stores of an earlier release, and its upgrade is not done`,
      'openclaw doctor --fix, twice if it says so; nothing was touched',
    );
  }
  if (release !== null && compareVersions(release.version, FIRST.agentDatabases) < 0) {
    return refused(
      ground,
      found,
      layout,
      `the logins here are in SQLite, which the installed ${nameOf(release)} does not read`,
      'install the later OpenClaw again that moved them; nothing was touched',
    );
  }
  const foreign = [...found.databases.values()].find(
    (look) => look !== null && !SCHEMAS.agent.includes(look.schema),
  );
  const notes = found.json === null ? [] : [leftover(found.json, nameOf(release))];
  return examined(ground, found, {
    layout,
    provider: 'openai',
    release,
    shared: { rows: 'agent', path: join(ground.sharedDir, 'openclaw-agent.sqlite') },
    needsSdk: foreign ? unknownSchema(foreign) : null,
    notes,
    reasons: [
      ...releaseReasons(ground, release),
      reason('STORE_SQLITE_AGENT', "each agent's database holds its logins"),
    ],
  });
}

function examineShared(ground: Ground, found: FoundStores, location: 'state-db' | 'legacy-main'): Examined {
  const release = ground.installed;
  const layout: Layout = 'sqlite-shared';
  if (release !== null && compareVersions(release.version, FIRST.sharedDatabase) < 0) {
    return refused(
      ground,
      found,
      layout,
      `the shared database here is of a later OpenClaw than the installed ${release.version}`,
      'install the later OpenClaw again; nothing was touched',
    );
  }
  const later = tooLate(release, found);
  if (later !== undefined) {
    return refused(
      ground,
      found,
      layout,
      `${later.path} is of schema ${later.schema}, of a later OpenClaw than the installed ${nameOf(release)}`,
      'install the later OpenClaw again; nothing was touched',
    );
  }
  if (found.json !== null) {
    return refused(
      ground,
      found,
      layout,
      `${found.json} lies beside the SQLite store, and OpenClaw does not start while it does`,
      'openclaw doctor --fix; where it cannot, move that file away. Nothing was touched',
    );
  }
  const main = found.databases.get('main') ?? null;
  const agents = [...found.databases.values()].filter((look) => look !== null);
  const own = release?.schemas?.agent ?? 0;
  const older = agents.find(
    (look) =>
      (look.schema < Math.min(...SCHEMAS.sharedAgent) && hasLogins(look)) ||
      (look.schema < own && !SCHEMAS.sharedAgent.includes(look.schema)),
  );
  if (older !== undefined) {
    return refused(
      ground,
      found,
      layout,
      `the upgrade of this OpenClaw is not done: ${older.path} is still of schema ${older.schema}`,
      'openclaw doctor --fix, twice if it says so; nothing was touched',
    );
  }
  const { state } = found;
  const inState = location === 'state-db';
  const damage = found.broken.get('main');
  if (!inState && damage !== undefined) throw damage;
  const look = inState ? state : main;
  if (look === null || look.rows.profiles === null) return fresh(ground, found, layout);
  const foreign =
    state !== null && !SCHEMAS.shared.includes(state.schema)
      ? state
      : agents.find(({ schema }) => !SCHEMAS.sharedAgent.includes(schema));
  const where = inState
    ? 'the shared database holds the logins'
    : "main's database holds the logins of all agents";
  return examined(ground, found, {
    layout,
    provider: 'openai',
    release,
    shared: { rows: inState ? 'shared' : 'agent', path: look.path },
    needsSdk: foreign ? unknownSchema(foreign) : null,
    reasons: [...releaseReasons(ground, release), reason('STORE_SQLITE_SHARED', `${where} (${location})`)],
  });
}

/** A database without a login yet: the first one is written by OpenClaw itself, which also decides where. */
function fresh(ground: Ground, found: FoundStores, layout: Layout): Examined {
  const { state } = found;
  const inState = layout === 'sqlite-shared';
  return examined(ground, found, {
    layout,
    provider: 'openai',
    release: ground.installed,
    shared: inState
      ? { rows: 'shared', path: join(ground.stateDir, 'state', 'openclaw.sqlite') }
      : { rows: 'agent', path: join(ground.sharedDir, 'openclaw-agent.sqlite') },
    isFresh: true,
    needsSdk: 'this OpenClaw holds no login yet, and only it decides where its first one goes',
    reasons: [
      ...releaseReasons(ground, ground.installed),
      reason('STORE_EMPTY', state === null ? 'there is no database yet' : 'the databases hold no login yet'),
    ],
  });
}

type Answer = Pick<Examined, 'layout' | 'provider' | 'release' | 'reasons'> & Partial<Examined>;

function examined({ stateDir, places }: Ground, found: FoundStores, answer: Answer): Examined {
  const { state, databases } = found;
  const moved = movedFrom([stateDir, places.stateDir], state);
  return {
    shared: null,
    statePath: state?.path ?? null,
    databases,
    needsSdk: null,
    isFresh: false,
    schemas: {
      state: state?.schema ?? 0,
      agent: Math.max(0, ...[...databases.values()].map((look) => look?.schema ?? 0)),
    },
    refusal: null,
    ...answer,
    notes: [...(answer.notes ?? []), ...moved],
  };
}

function refused(
  ground: Ground,
  found: FoundStores,
  layout: Layout,
  message: string,
  hint: string,
): Examined {
  return examined(ground, found, {
    layout,
    provider: layout.startsWith('json') ? 'openai-codex' : 'openai',
    release: ground.installed,
    reasons: [...releaseReasons(ground, ground.installed), reason('REFUSED', message)],
    refusal: new RouterError('HOST_UNSUPPORTED', message, { hint }),
  });
}

/** With no package at hand, the release that last wrote openclaw.json, unless what lies there proves a later one. */
function touchedBy({ lastTouched }: HostConfig, hasStateFile: boolean): Release | null {
  if (lastTouched === null || !/^\d+\.\d+\.\d+/.test(lastTouched)) return null;
  if (hasStateFile && compareVersions(lastTouched, '2026.4.7') < 0) return null;
  return { version: lastTouched, source: 'openclaw.json meta.lastTouchedVersion' };
}
