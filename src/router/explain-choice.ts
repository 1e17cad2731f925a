import type { Identity } from '../identity.js';
import type { JsonObject } from '../json.js';
import { isOfProvider } from '../slot/companions.js';
import type { HostChoosing } from '../slot/host.js';
import type { Scene } from './explain-scene.js';
import { entryOrNull } from './resolve.js';

/** Whom OpenClaw would choose among the logins of the provider, for a turn without a pin. */
export interface Chosen {
  /** What fixes it: the stored order, the configured one, the configured profiles, or nothing: every login that is stored. */
  readonly by: 'store' | 'config' | 'profiles' | 'nothing';
  /** As they would be tried now; empty where none could be. */
  readonly ids: readonly string[];
  /** Among how many logins it takes turns, the one used least lately first; 0 where an order is fixed. */
  readonly turns: number;
  /** Why the configuration keeps the slot out; null when it does not. */
  readonly refusal: { readonly what: 'mode' | 'provider'; readonly said: string } | null;
}

/** One entry of the provider. */
export interface Candidate {
  readonly profileId: string;
  readonly isLogin: boolean;
  readonly identity: Identity | null;
  readonly stats: JsonObject;
  /** ms epoch; null for what is no login */
  readonly expiresAt: number | null;
}

/** What is there to choose from, the slot first. */
export function candidatesIn({ slot, reading, neighbours, occupant, entries }: Scene): readonly Candidate[] {
  const there = reading?.occupant;
  const own: Candidate[] =
    there === undefined || there.kind === 'absent' || there.kind === 'lost'
      ? []
      : [
          {
            profileId: slot.address.profileId,
            isLogin: there.kind !== 'foreign',
            identity: occupant,
            stats: there.kind === 'login' ? (there.selection ?? {}) : {},
            expiresAt: there.kind === 'login' ? there.grant.expiresAt : null,
          },
        ];
  const others = neighbours.map((one): Candidate => {
    const isLogin = one.kind === 'login';
    return {
      profileId: one.profileId,
      isLogin,
      identity: isLogin ? (entryOrNull(one.identity, entries)?.identity ?? one.identity) : null,
      stats: isLogin ? (one.selection ?? {}) : {},
      expiresAt: isLogin ? one.grant.expiresAt : null,
    };
  });
  return [...own, ...others];
}

/** As `resolveAuthProfileOrder` decides it (3.28 to 9.6). */
export function chosenIn(scene: Scene): Chosen {
  const { host, slot, now, order } = scene;
  const { provider, formerProvider } = host.summary;
  const choosing = host.choosing ?? SILENT;
  const candidates = candidatesIn(scene);
  const there = new Map(candidates.map((one) => [one.profileId, one]));
  const ours = (name: string | null) => name === null || name === provider || name === formerProvider;
  const refusalOf = (profileId: string): Chosen['refusal'] => {
    const configured = choosing.profiles.find(({ id }) => id === profileId);
    if (configured === undefined) return null;
    if (!ours(configured.provider)) return { what: 'provider', said: configured.provider ?? '' };
    const { mode } = configured;
    // What kind a credential that is no login has cannot be told here.
    const fits = mode === null || mode === 'oauth' || there.get(profileId)?.isLogin !== true;
    return fits ? null : { what: 'mode', said: mode };
  };
  const canRun = (id: string) => there.has(id) && refusalOf(id) === null;
  const named = choosing.profiles.filter(({ provider: of }) => of !== null && ours(of)).map(({ id }) => id);
  const explicit = order ?? choosing.order;
  const base = explicit ?? (named.length > 0 ? named : [...there.keys()]);
  const isGone = base.length > 0 && !base.some((id) => there.has(id));
  const passes = isGone && (named.length > 0 || (order !== null && choosing.passesGoneOrder));
  const ids = [...new Set((passes ? [...there.keys()] : base).filter(canRun))];
  const refusal = refusalOf(slot.address.profileId);
  const last = (id: string) => (restingUntil(there.get(id)?.stats ?? {}, now) === null ? 0 : 1);
  if (explicit !== null && !passes) {
    const by = order !== null ? 'store' : 'config';
    return { by, ids: ids.toSorted((a, b) => last(a) - last(b)), turns: 0, refusal };
  }
  const scores = (id: string): readonly number[] => {
    const { isLogin = false, expiresAt = null, stats = {} } = there.get(id) ?? {};
    const isExpired = choosing.expiredLast && expiresAt !== null && expiresAt <= now;
    const used = typeof stats.lastUsed === 'number' ? stats.lastUsed : 0;
    return [last(id), isLogin ? 0 : 1, isExpired ? 1 : 0, used];
  };
  const logins = ids.filter((id) => there.get(id)?.isLogin).length;
  return {
    by: explicit === null && named.length > 0 && !passes ? 'profiles' : 'nothing',
    ids: ids.toSorted((a, b) => compared(scores(a), scores(b))),
    turns: logins > 1 ? logins : 0,
    refusal,
  };
}

/** A host whose configuration names nothing. */
const SILENT: HostChoosing = {
  order: null,
  profiles: [],
  passesGoneOrder: false,
  expiredLast: false,
  restMovesPin: true,
  goneStops: false,
  labelsFromGateway: false,
};

function compared(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((score, place) => score !== b[place]);
  return at === -1 ? 0 : (a[at] ?? 0) - (b[at] ?? 0);
}

/** Until when OpenClaw passes a profile over, and why it says; null when it does not. */
export function restingUntil(
  stats: JsonObject,
  now: number,
): { readonly until: number; readonly reason: string | null } | null {
  for (const what of ['blocked', 'disabled', 'cooldown']) {
    const until = stats[`${what}Until`];
    if (typeof until !== 'number' || until <= now) continue;
    const reason = stats[`${what}Reason`];
    return { until, reason: typeof reason === 'string' && /^[a-z_]{1,40}$/.test(reason) ? reason : null };
  }
  return null;
}

/** The reasons that are about the login itself (`usageStats`, 3.28 to 9.6); for any other the account rests, whichever its login. */
export const FOR_THE_LOGIN: ReadonlySet<string> = new Set(['auth', 'auth_permanent', 'session_expired']);

/** Which profile the session's next turn runs on, and what sends it there. */
export interface Run {
  /** Null where nothing of this provider. */
  readonly profileId: string | null;
  readonly by: 'pin' | 'order' | 'turns';
}

export function runOf(scene: Scene, { ids, turns }: Chosen): Run {
  const { host, session, now } = scene;
  const there = candidatesIn(scene);
  const pinnedTo = session.entry?.pinnedTo ?? null;
  const isAuto = session.entry?.pinSource === 'auto';
  const rests = (id: string) =>
    restingUntil(there.find(({ profileId }) => profileId === id)?.stats ?? {}, now) !== null;
  const inOrder: Run = { profileId: ids[0] ?? null, by: turns > 1 ? 'turns' : 'order' };
  if (pinnedTo === null) return inOrder;
  if (!there.some(({ profileId }) => profileId === pinnedTo)) {
    const stops = (host.choosing ?? SILENT).goneStops && !isAuto;
    return isOfProvider(pinnedTo, host.summary) && !stops ? inOrder : { profileId: null, by: 'pin' };
  }
  const isDropped = isAuto || host.choosing?.dropsUnordered === true;
  if (isDropped && ids.length > 0 && !ids.includes(pinnedTo)) return inOrder;
  const yields = isAuto || (host.choosing ?? SILENT).restMovesPin;
  const free = ids.find((id) => id !== pinnedTo && !rests(id));
  if (rests(pinnedTo) && yields && free !== undefined) return { profileId: free, by: 'order' };
  return { profileId: pinnedTo, by: 'pin' };
}
