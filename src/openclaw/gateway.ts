import { realpath } from '../os/files.js';
import type { Env } from '../os/folders.js';
import type { Effective, HostNote, ReloadOutcome } from '../slot/host.js';
import { reloadByCommand, reloadCommandLine } from './gateway-command.js';
import { type GatewayConfig, hostEnv } from './gateway-config.js';
import { atPort, type Endpoint, findEndpoint } from './gateway-endpoint.js';
import { type FailureReason, GatewayFailure, noteOf } from './gateway-failure.js';
import { type Link, openLink } from './gateway-link.js';
import { runningGateway } from './gateway-lock.js';
import { parseActiveRuns } from './gateway-report.js';
import { reread, type Wanted } from './gateway-reread.js';
import { findCredentials } from './gateway-secret.js';
import { type Connect, connectWebSocket, isListening } from './gateway-wire.js';
import { compareVersions } from './release.js';

/** Where a host's gateway would be. */
export interface GatewayPlace {
  /** openclaw.json's `gateway` section; null when it could not be understood. */
  readonly config: GatewayConfig | null;
  /** As OpenClaw names it, symlinks not resolved: its lock is named after it. */
  readonly configPath: string;
  readonly stateDir: string;
  /** The person's variables; `<stateDir>/.env` is read beneath them, as OpenClaw does. */
  readonly env: Env;
  /** The installed release; null when no package was found. A running gateway's own word goes before it. */
  readonly release: string | null;
  /** How to start the installed `openclaw`: program and first arguments; null when none was found. */
  readonly command: readonly string[] | null;
  readonly connect?: Connect;
  /** As `keptFor` of kept-connections.ts, for the release that runs; without it no connection is said to be kept. */
  readonly keptFor?: (version: string | null) => number | null;
  readonly limits?: GatewayLimits;
  /** Where OpenClaw through 2026.7.35 has its gateway lock, os.tmpdir() by default. */
  readonly temporary?: string;
}

/** All in ms. */
export interface GatewayLimits {
  /** From the first byte of the WebSocket to the proof. */
  readonly exchange: number;
  /** For `openclaw secrets reload`. */
  readonly command: number;
}

export interface ReloadDeps extends GatewayPlace, Wanted {
  /** ms epoch */
  readonly now: () => number;
}

/** A busy machine's gateway was seen to take 9 s for `models.authStatus` (5.7, two cores). */
const LIMITS: GatewayLimits = { exchange: 12_000, command: 15_000 };

/** For one knock at a port. */
const KNOCK_MS = 1000;

/** For looking which sessions are in a turn, the knock included; while it lasts the switch waits. */
const RUNS_MS = 3000;

/** From here on a turn's own end re-reads the slot into the snapshot (string scan; seen on 5.7, not on 3.28). */
const SELF_HEALING = '2026.4.14';
/** From here on the gateway's token alone lets a local program reload (string scan; also in 3.13 and 3.24). */
const TOKEN_SUFFICES = '2026.4.5';
/** OpenClaw 5.7 refreshes a login with less left; `models.authStatus` asks for its usage and so can trigger that. */
export const REFRESH_MARGIN = 5 * 60 * 1000;

/** What stands between codex-router and a gateway that its own command does not mind. */
const COMMAND_MAY_HELP: ReadonlySet<FailureReason> = new Set([
  'no-scope',
  'no-secret',
  'secret-unreadable',
  'tls',
]);

/**
 * Makes the running gateway of a state directory re-read its logins and asks it which one it now has. Nothing listening is
 * decided in milliseconds and without loading `ws`; an exchange is bounded to 12 s, the installed command (releases before
 * 4.5) to 15 s. Never throws for what a gateway does, never restarts or ends one, never sends its token off loopback.
 *
 * `now` is `proved` when the gateway itself reports `expiresAt` for the slot; without proof a GATEWAY_UNPROVED note says why.
 * `after-next-turn` and `after-reload` mean it was not told; a note says why and `advice` what to type. Two logins that
 * expire in the same millisecond cannot be told apart.
 *
 * A gateway may refresh a login near its expiry while it answers: afterwards the caller reads the slot again and checks it in.
 */
export async function reloadGateway(deps: ReloadDeps): Promise<ReloadOutcome> {
  const env = await hostEnv(deps.stateDir, deps.env);
  const { config } = deps;
  if (config === null) return untold(deps, deps.release, new GatewayFailure('config-unreadable'), null);
  const { endpoint, absence } = await findGateway(deps, config, env);
  const at = nameOf(endpoint);
  if (absence === 'none') return { effective: 'no-gateway', proved: false, advice: null, notes: [] };
  if (absence !== null) return untold(deps, deps.release, absence, endpoint);

  let running = deps.release;
  try {
    return await withLink(deps, config, env, endpoint, limitsOf(deps).exchange, async (link, signal) => {
      running = link.hello.version ?? running;
      return { ...(await reloadOver(deps, link, signal, at)), ...keptBy(deps, running) };
    });
  } catch (error) {
    if (!(error instanceof GatewayFailure)) throw error;
    if (!needsCommand(running) || !COMMAND_MAY_HELP.has(error.reason)) {
      return untold(deps, running, error, endpoint);
    }
  }
  try {
    await reloadByCommand(deps, limitsOf(deps).command);
  } catch (error) {
    if (!(error instanceof GatewayFailure)) throw error;
    return untold(deps, running, error, endpoint);
  }
  return told(deps, 'this release has no way to ask a gateway which login it has');
}

/**
 * The keys of sessions in which the gateway is running a turn, whose pins it may therefore still overwrite; empty when no
 * gateway runs. Null when it cannot be told: not 5.7's `hasActiveRun` rows (3.28 has none), not reachable, not this state
 * directory's, or not within 3 s in all (else `limits.exchange`). Seen on 5.7: runs of `chat.send` and of `agent`. Not
 * seen: `openclaw agent --local`, and sessions beyond the 500 most recent.
 */
export async function activeRuns(place: GatewayPlace): Promise<ReadonlySet<string> | null> {
  const { config } = place;
  if (config === null) return null;
  const deadline = performance.now() + (place.limits?.exchange ?? RUNS_MS);
  const env = await hostEnv(place.stateDir, place.env);
  const { endpoint, absence } = await findGateway(place, config, env);
  if (absence !== null) return absence === 'none' ? new Set() : null;
  try {
    return await withLink(place, config, env, endpoint, deadline - performance.now(), async (link) => {
      if ((await servesStateDir(link, place.stateDir)) !== true) return null;
      const answer = await link.call('sessions.list', { limit: 500, includeGlobal: true });
      return answer.ok ? parseActiveRuns(answer.payload) : null;
    });
  } catch (error) {
    if (error instanceof GatewayFailure) return null;
    throw error;
  }
}

interface Found {
  readonly endpoint: Endpoint;
  /** Null when something listens there; `none` when no gateway runs. */
  readonly absence: 'none' | GatewayFailure | null;
}

/** Where the gateway is by the config; when nobody listens there, where its lock in the state directory says. */
export async function findGateway(place: GatewayPlace, config: GatewayConfig, env: Env): Promise<Found> {
  const endpoint = findEndpoint(config, env);
  if (endpoint.door === null) {
    return { endpoint, absence: new GatewayFailure(endpoint.obstacle ?? 'not-loopback') };
  }
  if (await isListening(endpoint.door, KNOCK_MS)) return { endpoint, absence: null };
  const running = await runningGateway(place.configPath, place.stateDir, place.temporary);
  if (running === null) {
    return { endpoint, absence: endpoint.refusalMeansNone ? 'none' : new GatewayFailure('not-loopback') };
  }
  const elsewhere = atPort(endpoint, running);
  if (elsewhere?.door && (await isListening(elsewhere.door, KNOCK_MS))) {
    return { endpoint: elsewhere, absence: null };
  }
  return { endpoint, absence: new GatewayFailure('other-port', String(running.pid)) };
}

export async function withLink<T>(
  place: GatewayPlace,
  config: GatewayConfig,
  env: Env,
  endpoint: Endpoint,
  waitMs: number,
  use: (link: Link, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  if (endpoint.url === null) throw new GatewayFailure(endpoint.obstacle ?? 'not-loopback');
  const found = findCredentials(config, env, endpoint.scope);
  if (found.kind === 'none') throw new GatewayFailure('no-secret');
  if (found.kind === 'unreadable') throw new GatewayFailure('secret-unreadable', found.path);
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(), waitMs);
  try {
    const link = await openLink(
      endpoint.url,
      found.tries,
      place.connect ?? connectWebSocket,
      deadline.signal,
    );
    try {
      return await use(link, deadline.signal);
    } finally {
      link.close();
    }
  } finally {
    clearTimeout(timer);
  }
}

async function reloadOver(
  deps: ReloadDeps,
  link: Link,
  signal: AbortSignal,
  at: string,
): Promise<ReloadOutcome> {
  const ours = await servesStateDir(link, deps.stateDir);
  if (ours === false) throw new GatewayFailure('other-state');
  try {
    const result = await reread(link, deps, signal, at);
    if (result.kind === 'reread') return told(deps, result.why);
    return { effective: 'now', proved: true, advice: null, notes: rotation(deps) };
  } catch (error) {
    if (!(error instanceof GatewayFailure) || error.reason !== 'other-login') throw error;
    if (ours !== true) throw new GatewayFailure('other-state');
    if (rotation(deps).length === 0) throw error;
    return told(deps, 'it reports another expiry, as after it has renewed the login');
  }
}

/** Null when the gateway does not say, or names a folder that is not on this file system: in a container it has its own. */
export async function servesStateDir(link: Link, stateDir: string): Promise<boolean | null> {
  const theirs = link.hello.stateDir;
  if (theirs === null) return null;
  const real = await realpath(theirs).catch(() => null);
  return real === null ? null : real === (await realpath(stateDir).catch(() => stateDir));
}

function told(deps: ReloadDeps, why: string): ReloadOutcome {
  const unproved = { code: 'GATEWAY_UNPROVED', text: `the gateway re-read its logins; unproved: ${why}` };
  return { effective: 'now', proved: false, advice: null, notes: [unproved, ...rotation(deps)] };
}

function untold(
  deps: ReloadDeps,
  version: string | null,
  failure: GatewayFailure,
  endpoint: Endpoint | null,
): ReloadOutcome {
  const heals = version !== null && compareVersions(version, SELF_HEALING) >= 0;
  const effective: Effective = heals ? 'after-next-turn' : 'after-reload';
  const note = noteOf(failure, endpoint === null ? 'this machine' : nameOf(endpoint));
  const advice = adviceFor(deps, heals, endpoint);
  return { effective, proved: false, advice, notes: [note], ...keptBy(deps, version) };
}

function keptBy({ keptFor }: GatewayPlace, version: string | null): Pick<ReloadOutcome, 'keptMs'> {
  const keptMs = keptFor?.(version) ?? null;
  return keptMs === null ? {} : { keptMs };
}

function adviceFor(deps: ReloadDeps, heals: boolean, endpoint: Endpoint | null): string {
  if (endpoint?.door === null) {
    return 'that gateway keeps its own logins: run codex-router on its machine';
  }
  const type = `type: ${reloadCommandLine(deps.stateDir, deps.env)}`;
  return heals ? `send one message (it still runs on the old account), or ${type}` : type;
}

function rotation(deps: ReloadDeps): readonly HostNote[] {
  if (deps.expiresAt === null || deps.expiresAt - deps.now() > REFRESH_MARGIN) return [];
  return [
    { code: 'GATEWAY_MAY_ROTATE', text: 'the login is near its expiry, so the gateway may renew it at once' },
  ];
}

function needsCommand(version: string | null): boolean {
  return version !== null && compareVersions(version, TOKEN_SUFFICES) < 0;
}

function limitsOf(place: GatewayPlace): GatewayLimits {
  return place.limits ?? LIMITS;
}

export function nameOf(endpoint: Endpoint): string {
  return endpoint.door === null ? 'that machine' : `port ${endpoint.door.port}`;
}
