import { bound } from './host.js';
import type { Runs } from './runs.js';
import { gatewayModule } from './sdk.js';

/** Between the end of a run and the moment its connection is put away for the next one. */
const SETTLE_MS = 1000;

/**
 * From 2026.8.1 on OpenClaw keeps a session's connection to the model open between turns, and with it the login that opened it.
 * `renew` closes them, as OpenClaw's own /new does, so that the next turn opens one with the login in the slot: at once where
 * no run is under way, else when it has ended. True when those of `ids`, too, were closed now. Where a release has no way to,
 * nothing is closed.
 */
export function connections(
  runs: Runs,
  now: () => number,
): { renew(ids: readonly string[]): Promise<boolean> } {
  const stale = new Set<string>();
  runs.onEnd(({ id }) => {
    if (id === null || !stale.delete(id)) return;
    setTimeout(() => {
      if (runs.running().includes(id)) stale.add(id);
      else void close([id], runs);
    }, SETTLE_MS).unref();
  });
  return {
    renew: async (ids) => {
      for (const id of runs.running()) stale.add(id);
      const closed = await close([...new Set([...runs.idle(now()), ...ids])], runs);
      return ids.every((id) => closed.has(id));
    },
  };
}

/** Those that were closed: never one that a run is using. */
async function close(ids: readonly string[], runs: Runs): Promise<ReadonlySet<string>> {
  const closed = new Set<string>();
  const cleanup = bound(await gatewayModule('@openclaw/ai/internal/runtime'), 'cleanupSessionResources');
  if (cleanup === null) return closed;
  for (const id of ids) {
    if (runs.running().includes(id)) continue;
    try {
      cleanup(id);
      closed.add(id);
    } catch {
      // Then nothing is said of it.
    }
  }
  return closed;
}
