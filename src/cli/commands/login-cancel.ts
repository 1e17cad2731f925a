import { cancelPending } from '../../router/pending-login.js';
import { pendingDeps } from '../adapt.js';
import type { Cli } from '../cli.js';
import { compose } from '../compose.js';
import { DONE, type LoginCancelDocument } from '../documents.js';

/** `codex-router login cancel`: opens no vault, so that it also helps where the vault cannot be opened. */
export async function runLoginCancel(cli: Cli): Promise<void> {
  const { wasPending, wasDamaged } = await cancelPending(await pendingDeps(cli, compose(cli, {})));
  const document: LoginCancelDocument = {
    ...DONE,
    result: wasPending || wasDamaged ? 'cancelled' : 'none',
    wasDamaged,
  };
  cli.print(document, () => {
    if (wasDamaged) return 'removed what was left of a login that was begun; it was damaged';
    return wasPending
      ? 'the pending login is cancelled: its answer is worth nothing now'
      : 'no login was pending';
  });
}
