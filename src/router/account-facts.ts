import { boundText } from '../claims.js';
import type { Holding } from '../holding.js';
import type { HostNote } from '../slot/host.js';
import type { AccountAnswer } from './login-issuer.js';

/** A login with what its backend says of it and its tokens do not carry. */
export function withAccount(came: Holding, account: AccountAnswer): Holding {
  if (account.kind !== 'known') return came;
  const { workspace, plan } = account;
  const facts = { workspace: boundText(workspace), plan: came.identity.plan ?? boundText(plan) };
  return { ...came, identity: { ...came.identity, ...facts } };
}

/** What a person has to know of it before they keep the login. */
export function accountNotes(account: AccountAnswer): readonly HostNote[] {
  if (account.kind === 'unknown') {
    return [{ code: 'ACCOUNT_UNKNOWN', text: `the name of its workspace is not known: ${account.why}` }];
  }
  if (account.kind !== 'known' || !account.isDeactivated) return [];
  return [{ code: 'WORKSPACE_DEACTIVATED', text: 'its workspace is deactivated, so it may be of no use' }];
}
