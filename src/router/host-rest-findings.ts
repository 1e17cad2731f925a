import { readClaims } from '../claims.js';
import { RouterError } from '../errors.js';
import type { Holding } from '../holding.js';
import { isObject } from '../json.js';
import type { Slot } from '../slot/slot.js';
import { FOR_THE_LOGIN, restingUntil } from './explain-choice.js';
import type { Finding, Mend } from './finding.js';
import type { HostScene } from './host-scene.js';
import type { SlotMendDeps } from './mend-slot.js';
import { claimHost } from './owner.js';
import { clockText } from './times.js';

/**
 * Slots that OpenClaw passes over for a while after failures. Only a rest that is proved to be another login's may end early: its last
 * failure is older than the access token that is there, and all that was counted is about the login and not about limits.
 */
export function restFindings(deps: SlotMendDeps, { slots }: HostScene): readonly Finding[] {
  const now = deps.now();
  return slots.flatMap(({ slot, reading, isRouted }): Finding[] => {
    const { occupant } = reading;
    const rest = occupant.kind === 'login' ? restingUntil(occupant.selection ?? {}, now) : null;
    if (occupant.kind !== 'login' || rest === null) return [];
    const { agent, profileId } = slot.address;
    const because = rest.reason === null ? '' : ` (${rest.reason})`;
    const until = `${profileId} of agent ${agent} rests until ${clockText(rest.until, now)}${because}`;
    if (!isRouted || !isOfAnother(occupant)) {
      const text = `${until}: OpenClaw turns to another login meanwhile, where there is one`;
      return [{ code: 'SLOT_RESTING', part: 'order', danger: false, text, remedy: null, mend: null }];
    }
    const text = `${until}, for a failure of the login that was there before`;
    const remedy = 'codex-router doctor --fix';
    return [{ code: 'REST_STALE', part: 'order', danger: false, text, remedy, mend: waking(deps, slot) }];
  });
}

function isOfAnother({ selection, grant }: Holding): boolean {
  const stats = selection ?? {};
  const issuedAt = readClaims(grant.accessToken)?.issuedAt ?? null;
  const failedAt = stats.lastFailureAt;
  if (issuedAt === null || typeof failedAt !== 'number' || failedAt >= issuedAt) return false;
  const named = ['cooldownReason', 'disabledReason', 'blockedReason'].flatMap((name) => stats[name] ?? []);
  const counted = isObject(stats.failureCounts) ? Object.keys(stats.failureCounts) : [];
  const causes = [...named, ...counted];
  return causes.length > 0 && causes.every((cause) => typeof cause === 'string' && FOR_THE_LOGIN.has(cause));
}

function waking(deps: SlotMendDeps, slot: Slot): Mend {
  const { host, opening, withLock, critical, now } = deps;
  const { agent, profileId } = slot.address;
  return {
    does: `forget what was counted against the former login in ${profileId} of agent ${agent}`,
    carryOut: async () => {
      const repo = await opening;
      return await withLock(async () => {
        const { occupant, revision } = await slot.read();
        if (occupant.kind !== 'login' || !isOfAnother(occupant)) throw changed(agent);
        await claimHost(host, repo, now());
        const after = await critical(() =>
          slot.replace({ expect: revision, put: 'keep', takeOut: [], wake: true }),
        );
        const stats = after.occupant.kind === 'login' ? (after.occupant.selection ?? {}) : {};
        if (restingUntil(stats, now()) !== null) throw changed(agent);
        const { notes } = await host.reload(slot, occupant.grant.expiresAt);
        const text = `${profileId} of agent ${agent} may be chosen again: what was counted against it was another login's`;
        return { text, undo: null, notes };
      });
    },
  };
}

function changed(agent: string): RouterError {
  return new RouterError('SLOT_CHANGED', `the slot of agent ${agent} is not as it was found any more`, {
    hint: 'codex-router doctor looks again',
  });
}
