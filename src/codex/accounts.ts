import * as z from 'zod/mini';
import type { Holding } from '../holding.js';
import { parseJsonObject } from '../json.js';
import { type HttpDeps, send } from './http.js';
import { codeIn } from './issuer-error.js';

/** `AccountAnswer` of the router's port, which documents every member. */
type Answer =
  | {
      readonly kind: 'known';
      readonly workspace: string | null;
      readonly plan: string | null;
      readonly isDeactivated: boolean;
    }
  | { readonly kind: 'ended'; readonly why: string }
  | { readonly kind: 'unknown'; readonly why: string };

/** Where ChatGPT's backend is; a test's issuer stands in for it. */
export function backendUrl(testIssuer: string | null): string {
  return testIssuer === null ? 'https://chatgpt.com/backend-api' : `${testIssuer}/backend-api`;
}

/** `GET /wham/accounts/check`, the only place that knows a workspace's name (Codex CLI 0.169): `LoginIssuer.account` of the router's port. */
export async function checkAccount(
  deps: HttpDeps,
  { identity: { accountId }, grant }: Holding,
  signal: AbortSignal,
): Promise<Answer> {
  // Somebody is waiting, and it is only a name.
  const limits = { whole: 20_000, ...deps.limits };
  const outcome = await send(
    { ...deps, limits },
    {
      method: 'GET',
      url: `${backendUrl(deps.testIssuer)}/wham/accounts/check`,
      headers: {
        authorization: `Bearer ${grant.accessToken.reveal()}`,
        'chatgpt-account-id': accountId,
      },
      signal,
    },
  );
  if (outcome.kind !== 'answered') return { kind: 'unknown', why: outcome.why };
  const { status } = outcome;
  const body = parseJsonObject(outcome.body);
  if (status === 401) {
    const code = codeIn(body, ENDED);
    if (code !== null) return { kind: 'ended', why: `ChatGPT answered 401 ${code}` };
  }
  if (status < 200 || status > 299) return { kind: 'unknown', why: `ChatGPT answered ${status}` };
  const account = accountIn(body, accountId);
  return {
    kind: 'known',
    workspace: account?.name || null,
    plan: account?.plan_type || null,
    isDeactivated: account?.is_deactivated === true,
  };
}

/** What the backend calls a login that the issuer has revoked. */
const ENDED: ReadonlySet<string> = new Set(['token_invalidated', 'token_revoked']);

const text = z.catch(z.nullish(z.string()), null);
const Account = z.object({
  id: text,
  account_id: text,
  name: text,
  plan_type: text,
  is_deactivated: z.catch(z.nullish(z.boolean()), null),
});
type Account = z.infer<typeof Account>;

/** `accounts` is a list, or an object by account id whose values hold the account itself, or hold it as `account`. */
const Answered = z.object({
  accounts: z.union([z.array(z.unknown()), z.record(z.string(), z.unknown())]),
});

function accountIn(body: unknown, accountId: string): Account | null {
  const { data } = Answered.safeParse(body);
  if (!data) return null;
  const found = Object.entries(data.accounts).map(([name, value]) => {
    const { data: wrapped } = z.object({ account: Account }).safeParse(value);
    const { data: account } = wrapped ? { data: wrapped.account } : Account.safeParse(value);
    return { id: account?.id ?? account?.account_id ?? name, account };
  });
  return found.find(({ id }) => id === accountId)?.account ?? null;
}
