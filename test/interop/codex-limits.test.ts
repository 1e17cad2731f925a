import { writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { usageSource } from '../../src/codex/usage.js';
import { parseAccountId } from '../../src/identity.js';
import type { Limits, LimitWindow } from '../../src/limits.js';
import { Secret } from '../../src/secret.js';
import { codexCli } from '../kit/codex-cli.js';
import { startIssuer } from '../kit/issuer.js';
import { type JsonDocument, leaksOf, router, sandbox } from '../kit/router.js';
import { codexAuthJson, people } from '../kit/tokens.js';
import { windowOf } from '../kit/usage-backend.js';

type Fields = Record<string, unknown>;

const RESET = 2_000_000_000;
const HOURS = { ...windowOf(25, 18_000, 7200), reset_at: RESET };
const WEEK = { ...windowOf(60, 604_800, 86_400), reset_at: RESET + 60 };
const limitOf = (primary: unknown, secondary: unknown = null, more: Fields = {}): Fields => ({
  ...{ allowed: true, limit_reached: false, primary_window: primary, secondary_window: secondary },
  ...more,
});
const CREDITS = { has_credits: true, unlimited: false, balance: '12.5' };
const MONEY = {
  ...{ source: 'workspace', limit: '100', used: '50', remaining: '50', used_percent: 50 },
  ...{ remaining_percent: 50, reset_after_seconds: 60, reset_at: RESET },
};

type Payload = readonly [words: string, usage: Fields, codex: 'reads' | RegExp, ours?: object];

/**
 * What is laid over a whole answer, and what Codex 0.169 does with it: it reads it, and ours says the same; or it refuses all of it for the reason
 * given, and ours tells what can be understood. `ours` is also what only ours tells.
 */
const PAYLOADS: readonly Payload[] = [
  ['both windows', { rate_limit: limitOf(HOURS, WEEK) }, 'reads'],
  ['a lone week, in the first place', { rate_limit: limitOf(WEEK) }, 'reads'],
  ['only the second window', { rate_limit: limitOf(null, HOURS) }, 'reads'],
  ['no window at all', { rate_limit: limitOf(null) }, 'reads'],
  ['no ordinary limit', { rate_limit: null }, 'reads'],
  ['free', { plan_type: 'free', rate_limit: limitOf(WEEK) }, 'reads'],
  ['a Team seat', { plan_type: 'team', rate_limit: limitOf(HOURS, WEEK) }, 'reads'],
  ['a plan nobody knows', { plan_type: 'hyper' }, 'reads', { plan: 'hyper' }],
  [
    'a limit that is used up',
    {
      rate_limit: limitOf({ ...HOURS, used_percent: 100 }, WEEK, { allowed: false, limit_reached: true }),
      rate_limit_reached_type: { type: 'rate_limit_reached' },
    },
    'reads',
  ],
  [
    "a workspace's credits that are used up",
    { rate_limit_reached_type: { type: 'workspace_member_credits_depleted' } },
    'reads',
    { reached: true },
  ],
  [
    'code review',
    { code_review_rate_limit: limitOf(WEEK) },
    'reads',
    { windows: [{}, {}, { name: 'code review', label: 'week', usedPercent: 60 }] },
  ],
  [
    'additional limits',
    {
      additional_rate_limits: [
        { limit_name: 'Spark', metered_feature: 'codex_bengalfox', rate_limit: limitOf(HOURS, WEEK) },
        { limit_name: 'Luna', metered_feature: 'codex_luna', rate_limit: limitOf(WEEK) },
      ],
    },
    'reads',
  ],
  ['credits', { credits: CREDITS }, 'reads'],
  ['credits without an end', { credits: { ...CREDITS, unlimited: true, balance: null } }, 'reads'],
  ['credits without a balance', { credits: { has_credits: true, unlimited: false } }, 'reads'],
  ['no word of credits', { credits: null }, 'reads'],
  [
    'what a workspace lets a member spend',
    { spend_control: { reached: true, individual_limit: MONEY } },
    'reads',
  ],
  ['a spend limit that is null', { spend_control: { reached: true, individual_limit: null } }, 'reads'],
  [
    'members that nobody knows',
    { surprise: { a: [1] }, rate_limit: limitOf({ ...HOURS, tier: 'x' }, WEEK, { note: 7 }) },
    'reads',
  ],
  [
    'more than everything used',
    { rate_limit: limitOf({ ...HOURS, used_percent: 140 }) },
    'reads',
    { windows: [{ usedPercent: 100, leftPercent: 0 }] },
  ],
  [
    'a fraction of a per cent',
    { rate_limit: limitOf({ ...HOURS, used_percent: 12.5 }, WEEK) },
    /expected i32/,
    { windows: [{ label: '5 h', usedPercent: 12.5, leftPercent: 87.5 }, { label: 'week' }] },
  ],
  [
    'figures as text',
    {
      rate_limit: limitOf({
        used_percent: '25',
        limit_window_seconds: '18000',
        reset_after_seconds: '60',
        reset_at: String(RESET),
      }),
    },
    /string "25", expected i32/,
    { windows: [{ label: '5 h', usedPercent: 25, resetsAt: RESET * 1000 }] },
  ],
  [
    'a used_percent that is null',
    { rate_limit: limitOf({ ...HOURS, used_percent: null }, WEEK) },
    /null, expected i32/,
    { windows: [{ label: 'week', usedPercent: 60 }] },
  ],
  [
    'a window that is text',
    { rate_limit: limitOf('none', WEEK) },
    /expected struct RateLimitWindowSnapshot/,
    { windows: [{ label: 'week', usedPercent: 60 }] },
  ],
  [
    'no reset_after_seconds',
    { rate_limit: limitOf({ ...HOURS, reset_after_seconds: undefined }) },
    /missing field `reset_after_seconds`/,
    { windows: [{ label: '5 h', resetsAt: RESET * 1000 }] },
  ],
  [
    'no reset_at',
    { rate_limit: limitOf({ ...HOURS, reset_at: undefined }) },
    /missing field `reset_at`/,
    { windows: [{ label: '5 h', resetsAt: Number }] },
  ],
  [
    'no length',
    { rate_limit: limitOf({ ...HOURS, limit_window_seconds: undefined }) },
    /missing field `limit_window_seconds`/,
    { windows: [{ label: 'limit', seconds: null, usedPercent: 25 }] },
  ],
  [
    'a reset that is a fraction',
    { rate_limit: limitOf({ ...HOURS, reset_at: RESET + 0.5 }) },
    /expected i32/,
    { windows: [{ resetsAt: RESET * 1000 + 500 }] },
  ],
  [
    'a reset after 2038',
    { rate_limit: limitOf({ ...HOURS, reset_at: 4_000_000_000 }) },
    /expected i32/,
    { windows: [{ resetsAt: 4e12 }] },
  ],
  [
    'no allowed',
    { rate_limit: limitOf(HOURS, WEEK, { allowed: undefined }) },
    /missing field `allowed`/,
    { allowed: null, windows: [{ label: '5 h' }, { label: 'week' }] },
  ],
  [
    'an allowed that is text',
    { rate_limit: limitOf(HOURS, WEEK, { allowed: 'yes' }) },
    /expected a boolean/,
    { allowed: null, windows: [{ label: '5 h' }, { label: 'week' }] },
  ],
  [
    'a balance that is a number',
    { credits: { ...CREDITS, balance: 12.5 } },
    /expected a string/,
    { credits: { unlimited: false, balance: '12.5' } },
  ],
  [
    'a plan that is null',
    { plan_type: null },
    /expected string or map/,
    { plan: null, windows: [{ label: '5 h' }, { label: 'week' }] },
  ],
  [
    'no plan',
    { plan_type: undefined },
    /missing field `plan_type`/,
    { plan: null, windows: [{ label: '5 h' }, { label: 'week' }] },
  ],
  [
    'a plan that is a number',
    { plan_type: 7 },
    /expected string or map/,
    { plan: null, windows: [{ label: '5 h' }, { label: 'week' }] },
  ],
  [
    'additional limits that are no list',
    { additional_rate_limits: {} },
    /expected a sequence/,
    { windows: [{ name: null }, { name: null }] },
  ],
  [
    'an additional limit that is null',
    { additional_rate_limits: [null] },
    /expected struct/,
    { windows: [{ name: null }, { name: null }] },
  ],
  [
    'a spend limit in part',
    { spend_control: { reached: false, individual_limit: { limit: '100', used: '50', reset_at: RESET } } },
    /missing field `remaining`/,
    { spend: { reached: false, limit: '100', used: '50' } },
  ],
  ['a reached type nobody knows', { rate_limit_reached_type: { type: 'moon' } }, 'reads'],
];

/** What both programs tell, in one form. A plan that Codex does not know is `unknown` to it, and it ignores the limit of code reviews. */
function saidByCodex({ ordinaryUsageAllowed, rateLimitsByLimitId }: JsonDocument) {
  const { codex, ...more }: Record<string, JsonDocument> = rateLimitsByLimitId;
  const windows = [codex, ...Object.values(more)].flatMap(({ limitId, limitName, primary, secondary }) =>
    [primary, secondary].flatMap((one) =>
      one === null
        ? []
        : [
            {
              name: limitId === 'codex' ? null : (limitName ?? limitId),
              seconds: one.windowDurationMins * 60,
              usedPercent: Math.min(100, one.usedPercent),
              resetsAt: one.resetsAt * 1000,
            },
          ],
    ),
  );
  const { planType, credits, individualLimit: money, spendControlReached } = codex;
  return {
    plan: planType,
    allowed: ordinaryUsageAllowed,
    windows: windows.sort(byName),
    credits:
      credits?.hasCredits || credits?.unlimited
        ? { unlimited: credits.unlimited, balance: credits.balance }
        : null,
    spend:
      money || spendControlReached
        ? {
            reached: spendControlReached,
            limit: money?.limit ?? null,
            used: money?.used ?? null,
            resetsAt: money ? money.resetsAt * 1000 : null,
          }
        : null,
  };
}

function saidByOurs({ plan, allowed, windows, credits, spend }: Limits, isKnownPlan: boolean) {
  const ordinary = windows.filter(({ name }) => name !== 'code review');
  const shown = ordinary.map(({ name, seconds, usedPercent, resetsAt }) => ({
    ...{ name, seconds, usedPercent, resetsAt },
  }));
  return { plan: isKnownPlan ? plan : 'unknown', allowed, windows: shown.sort(byName), credits, spend };
}

function byName(a: Pick<LimitWindow, 'name' | 'seconds'>, b: Pick<LimitWindow, 'name' | 'seconds'>): number {
  return `${a.name ?? ''}`.localeCompare(`${b.name ?? ''}`) || (a.seconds ?? 0) - (b.seconds ?? 0);
}

t.test(
  'what the real Codex reads of a usage answer, ours says too; what it refuses is read as far as it goes',
  async (t) => {
    const issuer = await startIssuer(t);
    const box = sandbox(t);
    box.env.CODEX_ROUTER_KEY = 'file';
    box.env.CODEX_ROUTER_TEST_ISSUER = issuer.url;
    const codex = codexCli(t, box, issuer);
    if (!codex) return;
    const alice = issuer.mint(people.alice);
    const text = codexAuthJson(alice, '0.169', { issuer: issuer.url });
    writeFileSync(path.join(codex.home, 'auth.json'), text, { mode: 0o600 });
    const source = usageSource({ env: {}, now: Date.now, testIssuer: issuer.url });
    const ours = () => source.ask(new Secret(alice.access), parseAccountId(alice.accountId), 10_000);

    await codex.rpc(async (ask) => {
      for (const [words, usage, reads, told = {}] of PAYLOADS) {
        issuer.behaviour.usage = { rate_limit: limitOf(HOURS, WEEK), ...usage };
        const theirs = await ask('account/rateLimits/read');
        const answer = await ours();
        if (answer.kind !== 'answered') {
          t.fail(`${words}: ours says ${answer.kind}`);
          continue;
        }
        const { limits } = answer;
        if (reads === 'reads') {
          t.equal(theirs.error, undefined, `${words}: Codex reads it`);
          const isKnown = theirs.result?.rateLimits.planType !== 'unknown';
          t.strictSame(saidByOurs(limits, isKnown), saidByCodex(theirs.result), words);
        } else {
          t.match(theirs.error?.message, reads, `${words}: Codex refuses it`);
        }
        t.match(limits, told, `${words}: ours`);
      }
    });

    const [, usage] = PAYLOADS.find(([words]) => words === 'additional limits') ?? [];
    issuer.behaviour.usage = { rate_limit: limitOf(HOURS, WEEK), ...usage, credits: CREDITS };
    const asked = await ours();
    await router(box, ['import', '--from', '-', '--json'], {
      input: codexAuthJson(issuer.mint(people.alice)),
    });
    const { json } = await router(box, ['usage', '--all', '--json']);
    t.match(
      json.usage,
      [{ state: 'answered', limits: asked.kind === 'answered' && asked.limits }],
      'on the command line',
    );
    t.strictSame(issuer.of('refresh'), [], 'looking refreshes nothing');
    t.strictSame(leaksOf(box), []);
  },
);
