import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type Release, traitsOf } from './releases.js';
import type { Login } from './tokens.js';

export type { Release } from './releases.js';

/** One release of each of the two JSON layouts that `makeState` writes. */
export const RELEASES: readonly Release[] = ['2026.3.28', '2026.5.7'];

export const PROVIDER = 'openai-codex';
export const SLOT = 'openai-codex:default';
/** Not a secret of anyone; the gateway of a test state asks for it. */
export const GATEWAY_TOKEN = 'test-gateway-token-0123456789abcdef0123456789';
export const MODEL = 'gpt-5.4';

type Fields = Record<string, unknown>;

export interface AgentOptions {
  readonly id: string;
  /** Marks it `default: true` in openclaw.json. */
  readonly default?: boolean;
  /** Another folder than `<state>/agents/<id>/agent`, written into openclaw.json. */
  readonly agentDir?: string;
  /** Left out: the agent has no auth-profiles.json of its own. */
  readonly slot?: Login | Fields | null;
  readonly sessions?: Record<string, Fields>;
}

export interface StateOptions {
  readonly release: Release;
  /** What `openai-codex:default` of agent main holds; a plain object is written as it is, null leaves it out. */
  readonly slot?: Login | Fields | null;
  /** Further entries of main's store, by profile id; a plain object is written as it is. */
  readonly others?: Record<string, Login | Fields>;
  /** main's sessions.json; default `chatSessions(release)`. Fields are laid over a bare entry with an id and a time. */
  readonly sessions?: Record<string, Fields>;
  /** Gateway port in openclaw.json. */
  readonly port?: number;
  /** The model provider's base URL (`http://127.0.0.1:<port>/backend-api`); default a closed port. */
  readonly baseUrl?: string;
  /** Agents besides main. Given, `agents.list` names main and them. */
  readonly agents?: readonly AgentOptions[];
  readonly order?: readonly string[];
  readonly usageStats?: Fields;
  /** Laid over openclaw.json, top level. */
  readonly config?: Fields;
}

export interface AgentPaths {
  readonly dir: string;
  readonly profiles: string;
  readonly state: string;
  readonly sessions: string;
}

/** A written state directory; the readers parse what lies there now. */
export interface OpenClawState {
  readonly dir: string;
  readonly release: Release;
  readonly port: number;
  readonly configPath: string;
  paths(agent?: string): AgentPaths;
  /** The slot's entry, or undefined. */
  slot(agent?: string): Fields | undefined;
  profiles(agent?: string): Record<string, Fields>;
  /** order, lastGood, usageStats from where this release keeps them. */
  selection(agent?: string): { order?: unknown; lastGood?: unknown; usageStats?: Record<string, Fields> };
  sessions(agent?: string): Record<string, Fields>;
}

/** One auth-profiles.json entry as this release's own login writes it (facts: openclaw-json.md section 1). */
export function profileOf(login: Login, release: Release): Fields {
  return {
    type: 'oauth',
    provider: PROVIDER,
    access: login.access,
    refresh: login.refresh,
    expires: login.expires,
    email: login.email,
    accountId: login.accountId,
    ...(traitsOf(release).planField ? { chatgptPlanType: login.plan } : {}),
  };
}

/**
 * Writes a state directory that a release through 2026.5.28 itself reads without complaint; later ones take it for the leftovers
 * of an older one (native.ts makes theirs). `dir` may exist and be empty.
 */
export function makeState(dir: string, options: StateOptions): OpenClawState {
  const { release, agents = [], port = 9 } = options;
  const paths = (id = 'main'): AgentPaths => {
    const agentDir =
      agents.find((agent) => agent.id === id)?.agentDir ?? path.join(dir, 'agents', id, 'agent');
    return {
      dir: agentDir,
      profiles: path.join(agentDir, 'auth-profiles.json'),
      state: path.join(agentDir, 'auth-state.json'),
      sessions: path.join(dir, 'agents', id, 'sessions', 'sessions.json'),
    };
  };
  const state: OpenClawState = {
    dir,
    release,
    port,
    configPath: path.join(dir, 'openclaw.json'),
    paths,
    profiles: (agent) =>
      readObject(readObject(readJson(paths(agent).profiles)).profiles) as Record<string, Fields>,
    slot: (agent) => state.profiles(agent)[SLOT],
    selection: (agent) =>
      readObject(readJson(paths(agent)[traitsOf(release).stateFile ? 'state' : 'profiles'])),
    sessions: (agent) => readObject(readJson(paths(agent).sessions)) as Record<string, Fields>,
  };

  writeStore(state, 'main', { [SLOT]: options.slot, ...options.others }, options);
  writeSessions(state, 'main', options.sessions ?? chatSessions());
  for (const agent of agents) {
    if (agent.slot !== undefined) writeStore(state, agent.id, { [SLOT]: agent.slot }, {});
    else mkdirSync(paths(agent.id).dir, { recursive: true, mode: 0o700 });
    writeSessions(state, agent.id, agent.sessions ?? {});
  }
  writeJson(state.configPath, { ...configOf(state, options), ...options.config });
  return state;
}

function writeStore(
  state: OpenClawState,
  agent: string,
  entries: Record<string, Login | Fields | null | undefined>,
  selected: Pick<StateOptions, 'order' | 'usageStats'>,
): void {
  const profiles: Record<string, Fields> = {};
  for (const [id, entry] of Object.entries(entries)) {
    if (entry) profiles[id] = isLogin(entry) ? profileOf(entry, state.release) : entry;
  }
  const selection = {
    ...(selected.order ? { order: { [PROVIDER]: selected.order } } : {}),
    ...(profiles[SLOT] ? { lastGood: { [PROVIDER]: SLOT } } : {}),
    ...(selected.usageStats ? { usageStats: selected.usageStats } : {}),
  };
  const { profiles: file, state: stateFile } = state.paths(agent);
  if (traitsOf(state.release).stateFile) {
    writeJson(file, { version: 1, profiles });
    if (Object.keys(selection).length > 0) writeJson(stateFile, { version: 1, ...selection });
  } else {
    writeJson(file, { version: 1, profiles, ...selection });
  }
}

function writeSessions(state: OpenClawState, agent: string, sessions: Record<string, Fields>): void {
  const now = Date.now();
  const timed = traitsOf(state.release).timedSessions;
  const entries = Object.entries(sessions).map(([key, fields], index) => [
    key,
    {
      sessionId: `00000000-0000-4000-8000-${String(index + 1).padStart(12, '0')}`,
      updatedAt: now - 60_000 * (index + 1),
      ...(timed ? { sessionStartedAt: now - 3_600_000, lastInteractionAt: now - 60_000 * (index + 1) } : {}),
      ...fields,
    },
  ]);
  writeJson(state.paths(agent).sessions, Object.fromEntries(entries), '');
}

function configOf(state: OpenClawState, options: StateOptions): Fields {
  const { agents = [], baseUrl = 'http://127.0.0.1:9/backend-api' } = options;
  const list = [
    { id: 'main', ...(agents.some((agent) => agent.default) ? {} : { default: true }) },
    ...agents.map(({ id, default: chosen, agentDir }) => ({
      id,
      ...(chosen ? { default: true } : {}),
      ...(agentDir ? { agentDir } : {}),
    })),
  ];
  return {
    meta: { lastTouchedVersion: state.release, lastTouchedAt: new Date().toISOString() },
    gateway: {
      mode: 'local',
      bind: 'loopback',
      port: state.port,
      auth: { mode: 'token', token: GATEWAY_TOKEN },
    },
    agents: {
      defaults: {
        model: { primary: `${PROVIDER}/${MODEL}` },
        skipBootstrap: true,
        heartbeat: { every: '0m' },
        workspace: path.join(state.dir, 'workspace'),
      },
      ...(agents.length > 0 ? { list } : {}),
    },
    auth: { profiles: { [SLOT]: { provider: PROVIDER, mode: 'oauth' } } },
    models: {
      mode: 'merge',
      providers: {
        [PROVIDER]: {
          baseUrl,
          api: 'openai-codex-responses',
          models: [
            {
              id: MODEL,
              name: MODEL,
              reasoning: true,
              input: ['text'],
              cost: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 },
              contextWindow: 200_000,
              maxTokens: 8000,
            },
          ],
        },
      },
    },
    logging: { file: path.join(state.dir, 'openclaw.log') },
    update: { checkOnStart: false },
    discovery: { mdns: { mode: 'off' } },
  };
}

/** A pin as a person's own choice writes it. */
export const PIN: Fields = { authProfileOverride: SLOT, authProfileOverrideSource: 'user' };

/**
 * A sessions.json of every kind of key: the main chat (the most recent), a direct chat and its slash entry, groups, a
 * thread, and those that are never a current session (sub-agent, cron, heartbeat). Nothing is pinned.
 */
export function chatSessions(): Record<string, Fields> {
  const telegram = (to: string, more: Fields = {}): Fields => ({
    channel: 'telegram',
    chatType: 'direct',
    lastChannel: 'telegram',
    lastTo: to,
    lastAccountId: 'default',
    deliveryContext: { channel: 'telegram', to, accountId: 'default' },
    ...more,
  });
  const origin = (from: string): Fields => ({
    label: `id:${from}`,
    provider: 'telegram',
    surface: 'telegram',
    chatType: 'direct',
    from,
    to: from,
    accountId: 'default',
  });
  return {
    'agent:main:main': telegram('telegram:1001', { origin: origin('telegram:1001'), compactionCount: 0 }),
    'agent:main:telegram:direct:1001': telegram('telegram:1001', { origin: origin('telegram:1001') }),
    'agent:main:telegram:slash:1001': { chatType: 'direct', origin: origin('telegram:1001') },
    'agent:main:telegram:group:-1001234567890:topic:42': telegram('telegram:-1001234567890', {
      chatType: 'group',
      groupId: '-1001234567890:topic:42',
      lastThreadId: 42,
    }),
    'agent:main:discord:channel:555': {
      channel: 'discord',
      chatType: 'channel',
      groupId: '555',
      lastChannel: 'discord',
      lastTo: 'channel:555',
      deliveryContext: { channel: 'discord', to: 'channel:555' },
    },
    'agent:main:slack:channel:c0123:thread:1700000000.000100': {
      channel: 'slack',
      chatType: 'channel',
      parentSessionKey: 'agent:main:slack:channel:c0123',
    },
    'agent:main:subagent:99999999-9999-4999-8999-999999999999': {
      spawnedBy: 'agent:main:main',
      spawnDepth: 1,
      label: 'child',
    },
    'agent:main:cron:job1': { label: 'Cron: job1' },
    'agent:main:main:heartbeat': { heartbeatIsolatedBaseSessionKey: 'agent:main:main' },
  };
}

/** Writes JSON the way OpenClaw does: two spaces, 0600 in a 0700 folder; sessions.json has no newline at its end. */
export function writeJson(file: string, value: unknown, end = '\n'): void {
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  writeFileSync(file, JSON.stringify(value, null, 2) + end, { mode: 0o600 });
}

export function readJson(file: string): unknown {
  return JSON.parse(readFileSync(file, 'utf8'));
}

function isLogin(value: Login | Fields): value is Login {
  return 'idToken' in value && 'nonce' in value;
}

function readObject(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}
