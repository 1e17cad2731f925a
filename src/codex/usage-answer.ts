import * as z from 'zod/mini';
import { boundText } from '../claims.js';
import { parseJsonObject } from '../json.js';
import { type Limits, type LimitWindow, type Spend, windowLabel } from '../limits.js';

/** Whom the backend names in a usage answer; null where it does not. */
export interface Named {
  readonly accountId: string | null;
  readonly userId: string | null;
  readonly email: string | null;
}

const text = z.catch(z.nullish(z.string()), null);
const flag = z.catch(z.nullish(z.boolean()), null);
/** Numbers come as numbers or as text, whole or not (Codex CLI 0.169 takes whole ones only). */
const figure = z.optional(z.unknown());
const perhaps = <T extends z.ZodMiniType>(shape: T) => z.catch(z.nullish(shape), null);

const Window = z.looseObject({
  used_percent: figure,
  limit_window_seconds: figure,
  reset_after_seconds: figure,
  reset_at: figure,
});
const RateLimit = z.looseObject({ allowed: flag, limit_reached: flag });
const Extra = z.looseObject({ limit_name: text, metered_feature: text, rate_limit: perhaps(RateLimit) });
const SpendLimit = z.looseObject({ limit: figure, used: figure, reset_at: figure });
const Answered = z.looseObject({
  user_id: text,
  account_id: text,
  email: text,
  plan_type: text,
  rate_limit: perhaps(RateLimit),
  code_review_rate_limit: perhaps(RateLimit),
  additional_rate_limits: z.catch(z.nullish(z.array(z.unknown())), null),
  credits: perhaps(z.looseObject({ has_credits: flag, unlimited: flag, balance: figure })),
  rate_limit_reached_type: perhaps(z.looseObject({ type: text })),
  spend_control: perhaps(z.looseObject({ reached: flag, individual_limit: perhaps(SpendLimit) })),
});

/** More than any plan has: what else comes is no answer to a question about limits. */
const MOST_EXTRAS = 20;

/**
 * The answer of `GET /wham/usage`, as far as it is understood; what is missing, unknown or of another type is left out. Null for text that
 * is no JSON object, or one that says nothing of any limit.
 * @param now ms epoch; where only the seconds until a reset are told, they count from it
 */
export function parseUsage(body: string, now: number): { limits: Limits; named: Named } | null {
  const { data } = Answered.safeParse(parseJsonObject(body));
  if (!data) return null;
  const { rate_limit: ordinary, credits, spend_control: control } = data;
  const extras = (data.additional_rate_limits ?? []).slice(0, MOST_EXTRAS).flatMap((one) => {
    const { data: extra } = Extra.safeParse(one);
    const name = shortText(extra?.limit_name) ?? shortText(extra?.metered_feature) ?? 'another limit';
    return windowsOf(extra?.rate_limit ?? null, name, now);
  });
  const windows = [
    ...windowsOf(ordinary ?? null, null, now),
    ...windowsOf(data.code_review_rate_limit ?? null, 'code review', now),
    ...extras,
  ];
  const plan = shortText(data.plan_type);
  if (windows.length === 0 && !ordinary && !credits && plan === null) return null;
  const spend = control ? spendOf(control) : null;
  return {
    limits: {
      plan,
      allowed: ordinary?.allowed ?? null,
      reached:
        ordinary?.limit_reached === true ||
        ordinary?.allowed === false ||
        spend?.reached === true ||
        (data.rate_limit_reached_type?.type ?? '') !== '',
      windows,
      credits:
        credits && (credits.has_credits !== false || credits.unlimited === true)
          ? { unlimited: credits.unlimited === true, balance: amountOf(credits.balance) }
          : null,
      spend,
    },
    named: {
      accountId: shortText(data.account_id),
      userId: shortText(data.user_id),
      email: boundText(data.email),
    },
  };
}

/** Every member called a window that tells how much is used, the shortest first. */
function windowsOf(
  limit: z.infer<typeof RateLimit> | null,
  name: string | null,
  now: number,
): readonly LimitWindow[] {
  const found = Object.entries(limit ?? {}).flatMap(([key, value]): LimitWindow[] => {
    const { data } = key.endsWith('_window') ? Window.safeParse(value) : { data: undefined };
    const used = numberOf(data?.used_percent);
    if (data === undefined || used === null) return [];
    const seconds = positive(data.limit_window_seconds);
    const usedPercent = Math.min(100, Math.max(0, used));
    const after = positive(data.reset_after_seconds);
    const resetsAt = timeOf(data.reset_at) ?? (after === null ? null : Math.round(now + after * 1000));
    const leftPercent = Math.round((100 - usedPercent) * 100) / 100;
    return [
      {
        name,
        label: windowLabel(seconds),
        seconds: seconds === null ? null : Math.round(seconds),
        usedPercent,
        leftPercent,
        resetsAt,
      },
    ];
  });
  return found.sort((a, b) => (a.seconds ?? Infinity) - (b.seconds ?? Infinity));
}

function spendOf({ reached, individual_limit: limit }: ControlFields): Spend | null {
  if (reached !== true && !limit) return null;
  return {
    reached: reached === true,
    limit: amountOf(limit?.limit),
    used: amountOf(limit?.used),
    resetsAt: timeOf(limit?.reset_at),
  };
}

type ControlFields = NonNullable<z.infer<typeof Answered>['spend_control']>;

function numberOf(value: unknown): number | null {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  return typeof number === 'number' && Number.isFinite(number) ? number : null;
}

function positive(value: unknown): number | null {
  const number = numberOf(value);
  return number !== null && number > 0 && number < LONGEST ? number : null;
}

/** s; ten years. */
const LONGEST = 10 * 366 * 24 * 3600;

/** Seconds since 1970 in ms; null also for the 0 that stands for no reset. */
function timeOf(value: unknown): number | null {
  const number = numberOf(value);
  return number !== null && number > 0 && number < 1e11 ? Math.round(number * 1000) : null;
}

function amountOf(value: unknown): string | null {
  return shortText(typeof value === 'number' && Number.isFinite(value) ? String(value) : value);
}

/** What is longer is no name, no plan and no amount. */
function shortText(value: unknown): string | null {
  return typeof value === 'string' && value !== '' && value.length <= 80 ? value : null;
}
