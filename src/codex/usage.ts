import type { AccountId } from '../identity.js';
import { isObject, parseJsonObject } from '../json.js';
import type { Limits } from '../limits.js';
import type { Secret } from '../secret.js';
import { backendUrl } from './accounts.js';
import { type HttpDeps, send } from './http.js';
import { codeIn } from './issuer-error.js';
import { type Named, parseUsage } from './usage-answer.js';

export interface UsageSourceDeps extends HttpDeps {
  /** ms epoch. */
  readonly now: () => number;
}

/** `UsageAnswer` of the router's port, which documents every member. */
type Answer = { readonly aheadMs?: number } & (
  | { readonly kind: 'answered'; readonly limits: Limits; readonly named: Named }
  | { readonly kind: Refusal; readonly why: string; readonly retryAfterMs?: number }
);

type Refusal = 'expired' | 'rejected' | 'forbidden' | 'failed' | 'unreachable' | 'timeout';

/** ChatGPT's usage backend: the router's port UsageSource. `GET /wham/usage`, one request, this token and this workspace only. */
export function usageSource(deps: UsageSourceDeps) {
  return {
    ask: async (
      token: Secret,
      accountId: AccountId,
      waitMs: number,
      signal?: AbortSignal,
    ): Promise<Answer> => {
      const patience = new AbortController();
      const timer = setTimeout(() => patience.abort(), waitMs);
      const asked = deps.now();
      try {
        const outcome = await send(deps, {
          method: 'GET',
          url: `${backendUrl(deps.testIssuer)}/wham/usage`,
          headers: { authorization: `Bearer ${token.reveal()}`, 'chatgpt-account-id': accountId },
          signal: signal === undefined ? patience.signal : AbortSignal.any([patience.signal, signal]),
        });
        if (outcome.kind === 'answered') {
          const now = deps.now();
          const answer = {
            ...answerOf(outcome.status, outcome.body, now),
            ...aheadOf(outcome.date, asked, now),
          };
          const retryAfterMs = retryAfterOf(outcome.retryAfter, now);
          return answer.kind === 'answered' || retryAfterMs === null ? answer : { ...answer, retryAfterMs };
        }
        if (patience.signal.aborted) {
          return { kind: 'timeout', why: `ChatGPT did not answer within ${Math.ceil(waitMs / 1000)} s` };
        }
        return { kind: outcome.kind === 'redirected' ? 'failed' : 'unreachable', why: outcome.why };
      } finally {
        clearTimeout(timer);
      }
    },
  };
}

/** By the server's `Date` (RFC 9110, 6.6.1), at the middle of the request; nothing where it gives none. */
function aheadOf(date: string | undefined, asked: number, answered: number): { readonly aheadMs?: number } {
  const told = Date.parse(date ?? '');
  return Number.isNaN(told) ? {} : { aheadMs: (asked + answered) / 2 - told };
}

function answerOf(status: number, body: string, now: number): Answer {
  const usage = status >= 200 && status < 300 ? parseUsage(body, now) : null;
  if (usage !== null) return { kind: 'answered', ...usage };
  const said = parseJsonObject(body);
  const detail = isObject(said?.detail) ? said.detail : null;
  const code = codeIn(said, KNOWN_CODES) ?? codeIn(detail, KNOWN_CODES);
  const why = `ChatGPT answered ${status}${code === null ? '' : ` ${code}`}`;
  if (code === 'token_expired') return { kind: 'expired', why };
  if (status === 401) return { kind: 'rejected', why };
  if (status === 403) return { kind: 'forbidden', why };
  return { kind: 'failed', why: status < 300 ? `${why} with nothing that tells of limits` : why };
}

/** RFC 9110, 10.2.3: whole seconds, or a date; null for anything else, and for what is past. */
export function retryAfterOf(header: string | undefined, now: number): number | null {
  const text = header?.trim() ?? '';
  // A text that is neither is a date to no engine, but to some a year.
  const ms = /^\d{1,9}$/.test(text)
    ? Number(text) * 1000
    : /[a-z]/i.test(text)
      ? Date.parse(text) - now
      : Number.NaN;
  return Number.isFinite(ms) && ms > 0 ? ms : null;
}

/** The codes that are shown. */
const KNOWN_CODES: ReadonlySet<string> = new Set([
  'invalid_workspace_selected',
  'rate_limit_exceeded',
  'token_expired',
  'token_invalidated',
  'token_revoked',
]);
