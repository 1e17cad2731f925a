import { join } from 'node:path';
import { RouterError } from '../errors.js';
import type { FoundAgent, FoundHost, FoundLock, Host, HostNote } from '../slot/host.js';
import type { Occupant, Slot } from '../slot/slot.js';
import { type Adapters, directAdapters, sessionsPath } from './adapters.js';
import { choosesOwn } from './agents.js';
import { type Examined, examine } from './examine.js';
import { gatewayPort, hostEnv, parseGatewayConfig } from './gateway-config.js';
import { runningGateway } from './gateway-lock.js';
import { findGround, type Ground } from './ground.js';
import { slotOf } from './layout.js';
import { listStores } from './listed-stores.js';
import { type LocateDeps, locateHost } from './locate.js';
import { refreshLocks, sessionsLock, storeLock } from './locks.js';
import { type ReleaseTraits, traitsOf } from './release.js';
import type { Patience } from './store-file.js';

/**
 * Looks at an OpenClaw and says what is there and why it is routed the way it is. A mixed state, a broken store of one agent or a
 * missing SDK is part of the answer, not a failure; what would stop a switch is its `refusal`.
 * @throws HOST_NOT_FOUND, HOST_FOREIGN_OWNER, HOST_UNREADABLE for a configuration that cannot be read, USAGE; IO when the system
 * refuses a look at the state directory itself
 */
export async function foundHost(deps: LocateDeps): Promise<FoundHost> {
  const ground = await findGround(deps);
  const [examined, broken] = await attempt(() => examine(ground));
  const [host, refused] = broken === null ? await attempt(() => locateHost(deps)) : [null, broken];
  const release = examined === null ? ground.installed : examined.release;
  const traits = traitsOf(release, examined?.layout !== 'json');
  const profileId = deps.options.slot ?? (examined === null ? null : slotOf(examined.provider));
  const way = wayOf(deps, examined, host);
  const known = examined?.refusal === null && profileId !== null ? { examined, profileId } : null;
  const adapters = known === null ? null : adaptersOf(deps, ground, known.examined, known.profileId, traits);
  const agents = await Promise.all(
    ground.agents.map((agent) => agentAt(ground, agent, adapters, traits.copiesMain)),
  );
  const locks = known === null || way.via !== 'direct' ? [] : locksOf(deps, ground, known, traits, agents);
  return {
    stateDir: ground.stateDir,
    layout: examined?.layout ?? null,
    release: release && { version: release.version, source: release.source },
    provider: examined?.provider ?? null,
    profileId,
    via: way.via,
    reasons: [...(examined?.reasons ?? []), ...way.reasons],
    stores: await listStores(ground, examined, traits.stateFile, deps.env, deps.torn ?? BRIEF),
    agents,
    locks,
    gateway: await gatewayOf(ground, deps),
    refusal: refused && { code: refused.code, message: refused.message, hint: refused.hint ?? null },
    notes: [...(host?.summary.notes ?? examined?.notes ?? []), ...agentNotes(agents, traits, release)],
  };
}

/** What a command would be refused with is what is shown; a wrong option is the person's own mistake. */
async function attempt<T>(
  look: () => Promise<T>,
): Promise<readonly [T, null] | readonly [null, RouterError]> {
  try {
    return [await look(), null];
  } catch (error) {
    if (!(error instanceof RouterError) || error.code === 'USAGE') throw error;
    return [null, error];
  }
}

function wayOf(
  { options }: LocateDeps,
  examined: Examined | null,
  host: Host | null,
): { readonly via: FoundHost['via']; readonly reasons: readonly HostNote[] } {
  if (examined === null || examined.refusal !== null) return { via: null, reasons: [] };
  const { needsSdk } = examined;
  const asked = options.via === 'sdk' ? '--via sdk asks for it' : null;
  const why = needsSdk ?? asked;
  const reasons: HostNote[] =
    why === null
      ? [{ code: 'WAY_DIRECT', text: "codex-router's own adapter has been tested with these stores" }]
      : [{ code: 'WAY_SDK', text: `the installed OpenClaw must write: ${why}` }];
  return { via: host === null ? null : why === null ? 'direct' : 'sdk', reasons };
}

/** A file that is being written is whole again much sooner; a broken one is looked at several times here. */
const BRIEF: Patience = { tornMs: 200 };

/** Only for reading: no lock is ever waited for. */
function adaptersOf(
  { env, platform, now = Date.now, torn }: LocateDeps,
  ground: Ground,
  found: Examined,
  profileId: string,
  traits: ReleaseTraits,
): Adapters {
  const deps = { env, platform, profileId, traits, lock: { waitMs: 0 }, now };
  return directAdapters(ground, found, torn === undefined ? deps : { ...deps, torn });
}

async function agentAt(
  { defaultAgent }: Ground,
  id: string,
  adapters: Adapters | null,
  copiesMain: boolean,
): Promise<FoundAgent> {
  const agent = { id, isDefault: id === defaultAgent };
  if (adapters === null) return { ...agent, runsOn: 'unknown', trouble: null };
  try {
    const runsOn = await runsOnOf(adapters.ownOf(id), adapters.shared, copiesMain);
    return { ...agent, runsOn, trouble: null };
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    return { ...agent, runsOn: 'unknown', trouble: error.message };
  }
}

/** As `groupSlots` (agents.ts) decides what is switched together. */
async function runsOnOf(own: Slot, shared: Slot, copiesMain: boolean): Promise<FoundAgent['runsOn']> {
  if (own === shared) {
    await shared.read();
    return 'main';
  }
  const reading = await own.read();
  const { occupant } = reading;
  if (occupant.kind === 'absent') return choosesOwn(reading) ? 'own' : 'main';
  if (occupant.kind !== 'login') return 'own';
  if (copiesMain) return 'copy';
  return holdsSame(occupant, (await shared.read()).occupant) ? 'copy' : 'own';
}

function holdsSame(one: Occupant, other: Occupant): boolean {
  if (one.kind !== 'login' || other.kind !== 'login') return false;
  return one.grant.refreshToken.equals(other.grant.refreshToken);
}

function agentNotes(
  agents: readonly FoundAgent[],
  { copiesMain }: ReleaseTraits,
  release: FoundHost['release'],
): readonly HostNote[] {
  const notes: HostNote[] = [];
  const tied = agents.filter(({ runsOn }) => runsOn === 'main' || runsOn === 'copy');
  if (copiesMain && tied.length > 1) {
    const who = release === null ? 'this OpenClaw (release unknown)' : `OpenClaw ${release.version}`;
    const text = `${who} copies main's login to its other agents; they are switched together: ${names(tied)}`;
    notes.push({ code: 'AGENTS_TIED', text });
  }
  const own = agents.filter(({ runsOn }) => runsOn === 'own');
  if (own.length > 0) {
    const text = `a login of their own shadows main's for: ${names(own)}; codex-router use --agent switches it`;
    notes.push({ code: 'AGENTS_SHADOW', text });
  }
  return notes;
}

function names(agents: readonly FoundAgent[]): string {
  return agents.map(({ id }) => id).join(', ');
}

function locksOf(
  { env }: LocateDeps,
  ground: Ground,
  { examined, profileId }: { readonly examined: Examined; readonly profileId: string },
  traits: ReleaseTraits,
  agents: readonly FoundAgent[],
): readonly FoundLock[] {
  const { stateDir, sharedDir, defaultAgent, config, places, installed } = ground;
  const { provider, shared, layout } = examined;
  const ownStore = agents.some(({ isDefault, runsOn }) => isDefault && runsOn === 'own');
  const folder = ownStore ? ground.agentDir(defaultAgent) : sharedDir;
  const database = join(folder, 'openclaw-agent.sqlite');
  const file = ({ path }: { readonly path: string }): FoundLock => ({ kind: 'file', path: `${path}.lock` });
  const refresh =
    traits.refreshLock || installed === null
      ? refreshLocks(stateDir, provider, profileId, installed?.version ?? null).map(file)
      : [];
  const store: FoundLock =
    shared === null
      ? file(storeLock(join(folder, 'auth-profiles.json')))
      : { kind: 'transaction', path: ownStore ? database : shared.path };
  const pins: FoundLock =
    layout === 'sqlite-shared'
      ? { kind: 'transaction', path: join(ground.agentDir(defaultAgent), 'openclaw-agent.sqlite') }
      : file(sessionsLock(sessionsPath(stateDir, config, places, env, defaultAgent)));
  return [...refresh, store, pins];
}

/** A lock that does not name the port (through 6.11) leaves the one of the configuration. */
async function gatewayOf(
  { places, stateDir, config }: Ground,
  { env }: LocateDeps,
): Promise<FoundHost['gateway']> {
  const running = await runningGateway(places.configPath, stateDir);
  if (running === null) return null;
  const parsed = parseGatewayConfig(config.value.gateway);
  const configured = parsed === null ? 18789 : gatewayPort(parsed, await hostEnv(stateDir, env));
  return { pid: running.pid, port: running.port ?? configured };
}
