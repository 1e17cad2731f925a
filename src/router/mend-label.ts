import { RouterError } from '../errors.js';
import type { OpenRepo } from '../repo/repo.js';
import type { Host } from '../slot/host.js';
import type { KeepBefore, Mended } from './finding.js';
import { requireOwner } from './owner.js';
import { turnsGroup } from './turns-slot.js';

export interface LabelMendDeps {
  readonly host: Host;
  withLock<T>(work: () => Promise<T>): Promise<T>;
  critical<T>(work: () => Promise<T>): Promise<T>;
}

/**
 * Takes a name out of the host's configuration that lies about who is in the slot.
 * @throws HOST_OWNED, VAULT_ROLLED_BACK; HOST_BUSY where a running gateway would restart itself for it; as `HostLabel.mend`
 */
export async function fixLabel(
  { host, withLock, critical }: LabelMendDeps,
  repo: OpenRepo,
  agent: string,
  keep: KeepBefore,
): Promise<Mended> {
  return withLock(async () => {
    await requireOwner(host, repo);
    const { main } = await turnsGroup(host, agent);
    const { occupant } = await main.read();
    const label = occupant.kind === 'login' ? (host.labelFor?.(occupant.identity.email) ?? null) : null;
    if (occupant.kind !== 'login' || label === null) throw nothingLeft();
    const held = await host.held?.(main, occupant.grant.expiresAt);
    const kept: string[] = [];
    const note = await critical(() =>
      label.mend(held?.kind !== 'no-gateway', async (change) => {
        kept.push(await keep({ kind: 'file', ...change }));
      }),
    );
    if (note.code === 'LABEL_LEFT') throw new RouterError('HOST_BUSY', note.text, { hint: STOP });
    // The last file first: each is put back as it was.
    const undo = kept.toReversed().map((id) => `codex-router doctor --undo ${id}`);
    return { text: note.text, undo: undo.length === 0 ? null : undo.join(' && '), notes: [] };
  });
}

const STOP = 'stop the gateway, then codex-router doctor --fix; nothing was changed';

function nothingLeft(): RouterError {
  return new RouterError('SLOT_CHANGED', 'that name is not shown any more', { hint: 'codex-router explain' });
}
