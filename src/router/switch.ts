import { RouterError } from '../errors.js';
import type { Identity } from '../identity.js';
import type { OpenRepo } from '../repo/repo.js';
import type { SessionWish } from '../slot/session.js';
import { type CarriedOut, type CarryDeps, type CarryOptions, carryOut } from './carry-out.js';
import { refuseUnfitPlan } from './doubt.js';
import type { Begun } from './slot-writes.js';
import { type PlanDeps, planSwitch, type SwitchPlan } from './switch-plan.js';

export interface SwitchDeps extends PlanDeps, CarryDeps {
  /** Runs what an interruption must not cut in half. */
  critical<T>(work: () => Promise<T>): Promise<T>;
}

export interface SwitchWish extends CarryOptions {
  readonly agent: string;
  readonly session: SessionWish;
  /** Looks at the plan and may throw: nothing is written then. */
  readonly approve?: (plan: SwitchPlan) => void;
}

export interface Switched {
  readonly plan: SwitchPlan;
  readonly done: CarriedOut;
}

/**
 * Plans a switch and carries it out, anew where the host rotated the slot between our read and its lock. Under the grant lock of
 * `wanted` and the router lock.
 * @throws REFRESH_UNANSWERED, LOGIN_NEEDED; as `planSwitch` and `carryOut`
 */
export async function switchTo(
  deps: SwitchDeps,
  repo: OpenRepo,
  wanted: Identity,
  { agent, session, approve = () => undefined, ...options }: SwitchWish,
): Promise<Switched> {
  const begun: Begun = { record: null, from: null };
  for (let attempt = 1; ; attempt += 1) {
    const plan = await planSwitch(deps, repo, wanted, agent, session);
    approve(plan);
    refuseUnfitPlan(plan, deps.now());
    try {
      return { plan, done: await deps.critical(() => carryOut(deps, repo, plan, begun, options)) };
    } catch (error) {
      if (attempt === 3 || !(error instanceof RouterError) || error.code !== 'SLOT_CHANGED') throw error;
    }
  }
}
