import { RouterError } from '../errors.js';
import { type Identity, identityKey, sameIdentity } from '../identity.js';
import type { SwitchRecord } from '../repo/journal.js';
import type { IndexEntry, OpenRepo, Repo } from '../repo/repo.js';
import type { HostNote, ReloadOutcome, SlotGroup } from '../slot/host.js';
import type { PinOutcome } from '../slot/pins.js';
import { agentMeant, type SessionWish } from '../slot/session.js';
import type { Occupant, SlotAddress } from '../slot/slot.js';
import { meantSession } from './chat-session.js';
import type { CheckInResult } from './check-in.js';
import { refuseUnfitPlan, settleWanted } from './doubt.js';
import { mendLabel } from './labels.js';
import type { Move } from './move.js';
import { requireOwner } from './owner.js';
import type { Affects, PinPlan } from './pins.js';
import { type RecoverDeps, recover } from './recover.js';
import type { RefreshDeps } from './refresh.js';
import { resolve, storedEntries } from './resolve.js';
import { switchTo } from './switch.js';
import { planSwitch, type SwitchPlan } from './switch-plan.js';

export interface UseDeps extends RecoverDeps, Omit<RefreshDeps, 'host' | 'journal'> {
  readonly repo: Repo;
  /** The vault, being opened since the command began (it may be waiting for a keychain). */
  readonly opening: Promise<OpenRepo>;
}

export interface UseRequest {
  readonly selector: string;
  readonly agent: string | null;
  readonly session: SessionWish;
  readonly dryRun: boolean;
  /** Takes a name out of the host's configuration that would lie about who is in the slot. */
  readonly fixLabels?: boolean;
  /** Takes the login from whoever else holds it. */
  readonly move?: boolean;
  /** Looks once more under the router lock and may throw: the slot is not written then. */
  readonly still?: () => Promise<void>;
}

export interface UseAnswer {
  readonly result: 'switched' | 'already-active' | 'planned';
  readonly from: Identity | null;
  /** The index entry of the identity that is (or would be) in the slot. */
  readonly to: IndexEntry;
  readonly slot: SlotAddress;
  readonly session: PinPlan['current'];
  readonly pins: readonly PinOutcome[];
  readonly affects: Affects;
  readonly checkedIn: readonly { readonly identity: Identity; readonly result: CheckInResult }[];
  /** From whom the login was (or would be) taken. */
  readonly moved: readonly Move[];
  /** Null for a plan: nothing was told to anybody. */
  readonly reload: ReloadOutcome | null;
  readonly notes: readonly HostNote[];
}

/**
 * Puts one stored identity into OpenClaw's slot, proves it, and syncs the current session (docs/architecture.md).
 * Idempotent: run again after a crash, or on the identity that is active, it mends what is left and rewrites no token.
 * @throws IDENTITY_*, SLOT_*, HOST_*, AGENT*, KEY*, VAULT_*, RECORD_DAMAGED, NO_PREVIOUS, SESSION_NOT_FOUND, BUSY
 */
export async function use(deps: UseDeps, request: UseRequest): Promise<UseAnswer> {
  const session = await meantSession(deps.host, request.session, deps.env);
  const agent = request.agent ?? agentMeant(session, deps.env) ?? deps.host.defaultAgent;
  const wanted = await select(deps, request.selector, agent);
  const repo = await deps.opening;
  const { dryRun, move = false } = request;
  // Before an interrupted switch is finished: that writes to the host too.
  if (!dryRun) await requireOwner(deps.host, repo);
  const { main } = await deps.host.slotsFor(agent);
  const except = { slot: main.address.id, to: wanted.identity };
  const earlier = dryRun ? [] : await recover(deps, repo, { except, reapply: false });
  const settled = dryRun ? [] : await settleWanted(deps, repo, wanted.identity);
  return deps.withGrantLock(wanted.identity, () =>
    deps.withLock(async () => {
      await request.still?.();
      const approve = (plan: SwitchPlan) => {
        if (request.agent !== null && plan.group.tied) throw tiedAgents(plan.group);
        refuseUnfitPlan(plan, deps.now());
      };
      if (dryRun) {
        const plan = await planSwitch(
          { ...deps, looking: true, move },
          repo,
          wanted.identity,
          agent,
          session,
        );
        approve(plan);
        const label = await mendLabel(deps.host, wanted.identity.email, false, false);
        const notes = [...plan.notes, ...label];
        return answer({ ...plan, notes }, 'planned', plan.pins.planned, null);
      }
      const { fixLabels = false } = request;
      const wish = { agent, session, fixLabels, approve };
      const { plan, done } = await switchTo({ ...deps, move }, repo, wanted.identity, wish);
      const notes = [...earlier, ...settled, ...doubtNotes(plan), ...done.notes];
      const result = done.switched ? 'switched' : 'already-active';
      return answer({ ...plan, from: done.from, moves: done.moved, notes }, result, done.pins, done.reload);
    }),
  );
}

/** Law 1: two agents on two identities would be made one again by this release, over the other's login. */
function tiedAgents({ agent, follows, notes }: SlotGroup): RouterError {
  const why =
    notes.find(({ code }) => code === 'AGENTS_TIED')?.text ?? 'this release keeps all agents on one login';
  return new RouterError('AGENTS_TIED', `agent ${agent} cannot be switched alone: ${why}`, {
    hint: `codex-router use without --agent switches all of them: ${follows.join(', ')}`,
  });
}

/** What may become of a login that goes into the slot in doubt. */
function doubtNotes({ entry, fingerprint }: SwitchPlan): readonly HostNote[] {
  if (entry.fingerprint !== fingerprint) return [];
  if (entry.doubt === 'restored') {
    const text =
      'it was put back from a back-up or an export: if it was spent since, the issuer ends it at its next refresh';
    return [{ code: 'LOGIN_DOUBTFUL', text }];
  }
  if (entry.doubt === 'lost-outside') {
    const text = 'Codex had it: if it was spent or revoked there, the issuer ends it at its next refresh';
    return [{ code: 'LOGIN_DOUBTFUL', text }];
  }
  if (entry.doubt !== 'login-needed') return [];
  const until = new Date(entry.expiresAt).toISOString().slice(0, 16);
  const text = `the issuer has ended this login: it works until ${until}Z at most; codex-router login, as that account, makes a new one`;
  return [{ code: 'LOGIN_NEEDED', text }];
}

async function select(deps: UseDeps, selector: string, agent: string): Promise<IndexEntry> {
  const entries = await storedEntries(deps);
  if (selector !== '-') return resolve(selector, entries);
  const { main } = await deps.host.slotsFor(agent);
  const { occupant } = await main.read();
  const last = (await deps.journal.read()).findLast(
    (record) => record.slot === main.address.id && isChange(record) && hasSwitched(record, occupant),
  );
  if (last === undefined || last.from === null) {
    throw new RouterError('NO_PREVIOUS', 'there is no earlier identity to go back to', {
      hint: 'codex-router list',
    });
  }
  return resolve(identityKey(last.from), entries);
}

/** A renewed login of the same identity, or one put back, is no step of the way back. */
function isChange({ from, to }: SwitchRecord): boolean {
  return from === null || to === null || !sameIdentity(from, to);
}

/** A switch that a crash stopped right after the slot was written never said so: then the slot itself tells. */
function hasSwitched({ step, to }: SwitchRecord, occupant: Occupant): boolean {
  if (step !== 'begun') return step !== 'abandoned';
  return occupant.kind === 'login' && to !== null && sameIdentity(occupant.identity, to);
}

function answer(
  plan: SwitchPlan,
  result: UseAnswer['result'],
  pins: readonly PinOutcome[],
  reload: ReloadOutcome | null,
): UseAnswer {
  return {
    result,
    from: plan.from,
    to: plan.entry,
    slot: plan.group.main.address,
    session: plan.pins.current,
    pins,
    affects: plan.pins.affects,
    checkedIn: plan.checkIns
      .map(({ kept, result: checkIn }) => ({ identity: kept.identity, result: checkIn }))
      .filter(({ result: checkIn }) => checkIn !== 'unchanged'),
    moved: plan.moves,
    reload,
    notes: plan.notes,
  };
}
