import { RouterError } from '../errors.js';
import { type Identity, type IdentityKey, identityKey } from '../identity.js';
import type { Journal } from '../repo/journal.js';
import type { OpenRepo } from '../repo/repo.js';
import type { Host, HostNote } from '../slot/host.js';
import { type Decided, decideAnew, decideFor, type LookDeps } from './failover-decide.js';
import type { RoundAnswer, RoundMode, RoundRequest, SlotRound } from './failover-plan.js';
import { whyText } from './failover-plan.js';
import { type Scope, scopeOfNamed, scopeOfSlot } from './failover-scope.js';
import { type Home, keysMeant, namedSessions } from './failover-sessions.js';
import { type Carried, carrySwitch } from './failover-switch.js';
import { requireOwner } from './owner.js';
import { parsePlace } from './places.js';
import { recover } from './recover.js';
import type { UseDeps } from './use.js';

export interface RoundDeps
  extends LookDeps,
    Omit<UseDeps, 'opening' | 'host' | 'repo' | 'now' | 'signal' | 'journal'> {
  /** The vault, opened where it is needed and not before. */
  readonly open: () => Promise<OpenRepo>;
  readonly journal: Journal;
}

/**
 * One look at the sessions that were named, and with `apply` the switch that it recommends. Nobody else's session is written, and only as
 * much of one is read as tells whether it would move too. Asked are the current identity and, where it is to be left, the candidates: stored
 * ones only, each with its own token.
 * @throws FAILOVER_NO_SESSIONS; FAILOVER_SCOPE with `apply`, before anybody is asked; HOST_*, KEY*, VAULT_*, IO; the signal's reason, before
 * anything is written. A switch that could not be made is `SlotRound.failure`.
 */
export async function failoverRound(deps: RoundDeps, request: RoundRequest): Promise<RoundAnswer> {
  const { host, settings } = deps;
  const { mode, apply } = request;
  const at = deps.now();
  const earlier = apply ? await finishEarlier(deps) : [];
  const keys = keysMeant(request.sessions, settings.sessions);
  const { sessions, homes, notes } = await namedSessions(host, keys);
  const scoped = await Promise.all(
    homes.map(async (home) => ({ home, scope: await scopeOf(host, home, mode) })),
  );
  if (apply) for (const { home, scope } of scoped) refuseWider(home, scope, mode);
  const slots: SlotRound[] = [];
  const asked: Identity[] = [];
  const taken = new Set<IdentityKey>();
  const said: HostNote[] = [...earlier, ...notes];
  for (const { home, scope } of scoped) {
    const found = await decideFor(deps, home, scope, taken);
    asked.push(...found.asked);
    said.push(...found.notes);
    const round = planOf(deps, home, scope, found);
    if (apply) await found.remember();
    slots.push(
      round.to !== null && apply ? await carriedOut(deps, request, { home, scope, found, round }) : round,
    );
    if (round.to !== null) taken.add(identityKey(round.to.identity));
  }
  return { at, mode, apply, sessions, slots, asked: once(asked), notes: onceEach(said) };
}

/** What a kill left half done is brought to its end first: what is looked at then is how it was meant. The vault is opened for that only. */
async function finishEarlier(deps: RoundDeps): Promise<readonly HostNote[]> {
  const { host, journal } = deps;
  const isOpen = (await journal.read()).some(
    ({ slot, step }) =>
      (step === 'begun' || step === 'swapped') && parsePlace(slot)?.stateDir === host.summary.stateDir,
  );
  if (!isOpen) return [];
  const repo = await deps.open();
  await requireOwner(host, repo);
  return recover(deps, repo, { except: null, reapply: false });
}

async function scopeOf(host: Host, home: Home, mode: RoundMode): Promise<Scope> {
  // An own slot is switched for all that are pinned to it.
  return mode === 'own' && home.own === null ? scopeOfNamed(host, home) : scopeOfSlot(host, home);
}

const MOST_SHOWN = 8;

/** @throws FAILOVER_SCOPE where a switch would move whom nobody named */
function refuseWider({ slot, own }: Home, { others }: Scope, mode: RoundMode): void {
  const { sessions, agents } = others;
  if (mode === 'shared' || (sessions.length === 0 && agents.length === 0)) return;
  const shown = [...sessions.slice(0, MOST_SHOWN), ...agents.map((agent) => `agent ${agent}`)];
  const more = sessions.length > MOST_SHOWN ? ` and ${sessions.length - MOST_SHOWN} more` : '';
  const who = `${shown.join(', ')}${more}`;
  const text = `a switch of ${slot.address.profileId} would also move what was not named: ${who}; nothing was changed`;
  const hint =
    own === null
      ? '--own-slot gives the named sessions a slot of their own; --shared-slot moves all of them'
      : 'name those sessions too; --shared-slot moves all of them';
  throw new RouterError('FAILOVER_SCOPE', text, { hint });
}

function planOf(deps: RoundDeps, home: Home, scope: Scope, found: Decided): SlotRound {
  const { decision, current, to, looked, passed, trouble } = found;
  const named = home.named.map(({ key }) => key);
  const ofCurrent = looked.find(
    ({ entry }) => current !== null && identityKey(entry.identity) === identityKey(current),
  );
  return {
    slot: home.slot.address,
    sessions: named,
    current,
    decision,
    why: whyText(decision, ofCurrent ?? null, trouble?.why ?? null, deps.settings, deps.now()),
    to,
    looked,
    passed,
    changes:
      to === null
        ? []
        : scope.written.map(({ key }) => ({
            session: key,
            from: current,
            to: to.identity,
            named: named.includes(key),
          })),
    others: scope.others,
    outcome: null,
    failure: null,
  };
}

/** What one slot's switch is decided on. */
interface Recommended {
  readonly home: Home;
  readonly scope: Scope;
  readonly found: Decided;
  readonly round: SlotRound;
}

/** Looks once more under the lock: the person, OpenClaw or another round may have been quicker. */
async function carriedOut(
  deps: RoundDeps,
  request: RoundRequest,
  { home, scope, found, round }: Recommended,
): Promise<SlotRound> {
  const { to } = round;
  if (to === null) return round;
  const still = async (): Promise<void> => {
    deps.signal?.throwIfAborted();
    const again = await homeAgain(deps.host, home);
    const wider = await scopeOf(deps.host, again, request.mode);
    refuseWider(again, wider, request.mode);
    const decision = await decideAnew(deps, again, wider, found);
    if (decision.to !== found.decision.to) throw new Held(decision);
  };
  let carried: Carried;
  try {
    carried = await carrySwitch(deps, { home, scope, mode: request.mode, from: round.current, to, still });
  } catch (error) {
    if (error instanceof Held) {
      return { ...round, decision: error.decision, to: null, changes: [] };
    }
    if (!(error instanceof RouterError) || error.code === 'INTERRUPTED') throw error;
    return { ...round, failure: error };
  }
  const { outcome, isProved } = carried;
  if (!isProved) {
    const failure = new RouterError(
      'SLOT_CHANGED',
      'somebody else is in the slot by now than was put there',
      {
        hint: 'codex-router status shows who',
      },
    );
    return { ...round, outcome, failure };
  }
  return { ...round, decision: { ...round.decision, status: 'switched' }, outcome };
}

/** What is no error: it has become a moment too early, or needless. */
class Held extends Error {
  constructor(readonly decision: Decided['decision']) {
    super('held');
  }
}

/** @throws SLOT_CHANGED where they are not where they were any more */
async function homeAgain(host: Host, home: Home): Promise<Home> {
  const { homes } = await namedSessions(
    host,
    home.named.map(({ key, agent }) => (key.startsWith('agent:') ? key : `agent:${agent}:${key}`)),
  );
  const again = homes.find(({ slot }) => slot.address.id === home.slot.address.id);
  if (homes.length === 1 && again?.named.length === home.named.length) return again;
  throw new RouterError(
    'SLOT_CHANGED',
    'the named sessions do not run on that slot any more; nothing was changed',
    {
      hint: 'run the command again',
    },
  );
}

function once(identities: readonly Identity[]): readonly Identity[] {
  return [...new Map(identities.map((one) => [identityKey(one), one])).values()];
}

function onceEach(notes: readonly HostNote[]): readonly HostNote[] {
  return [...new Map(notes.map((note) => [`${note.code} ${note.text}`, note])).values()];
}
