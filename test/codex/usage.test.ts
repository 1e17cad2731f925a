import { createServer, type RequestListener } from 'node:http';
import t, { type Test } from 'tap';
import { usageSource } from '../../src/codex/usage.js';
import { parseUsage } from '../../src/codex/usage-answer.js';
import { parseAccountId } from '../../src/identity.js';
import { windowLabel } from '../../src/limits.js';
import { Secret } from '../../src/secret.js';
import { listen } from '../kit/backend.js';
import { loginOf, people } from '../kit/tokens.js';
import { usageOf, windowOf } from '../kit/usage-backend.js';

const NOW = Date.UTC(2026, 10, 22, 12);
const alice = loginOf('alice');

function limitsIn(body: unknown) {
  return parseUsage(typeof body === 'string' ? body : JSON.stringify(body), NOW)?.limits;
}

t.test('a window is called by its length, wherever it stands', async (t) => {
  const names = [18_000, 604_800, 604_799, 86_400, 2_592_000, 43_200, 1800, 17_999, null].map(windowLabel);
  t.strictSame(names, ['5 h', 'week', 'week', '24 h', '30 d', '12 h', '30 min', '5 h', 'limit']);
  const lone = limitsIn({ plan_type: 'free', rate_limit: { primary_window: windowOf(9, 604_800, 60) } });
  t.match(lone?.windows, [{ label: 'week', usedPercent: 9, leftPercent: 91 }]);
  const swapped = limitsIn({
    rate_limit: { primary_window: windowOf(1, 604_800, 60), secondary_window: windowOf(2, 18_000, 60) },
  });
  t.match(swapped?.windows, [{ label: '5 h' }, { label: 'week' }], 'the shortest first');
  const third = limitsIn({
    rate_limit: { primary_window: null, monthly_window: windowOf(3, 2_592_000, 60) },
  });
  t.match(third?.windows, [{ label: '30 d', usedPercent: 3 }], 'a window of a name that is new');
});

t.test(
  'figures are taken as numbers or as text, whole or not; what is of another type is left out',
  async (t) => {
    const limits = limitsIn({
      plan_type: 7,
      rate_limit: {
        allowed: 'yes',
        limit_reached: true,
        primary_window: { used_percent: '12.5', limit_window_seconds: '18000', reset_after_seconds: 120 },
        secondary_window: { used_percent: null, limit_window_seconds: 604_800 },
      },
      credits: { has_credits: true, unlimited: false, balance: 4.52, approx_local_messages: [1, 6] },
      additional_rate_limits: [
        null,
        'x',
        { limit_name: 'Spark', rate_limit: { primary_window: { used_percent: 140, reset_at: 0 } } },
        { metered_feature: 'codex_bengalfox', rate_limit: { primary_window: windowOf(-3, 3600, 60) } },
        { rate_limit: null },
      ],
      spend_control: {
        reached: false,
        individual_limit: { limit: '100', used: 50, reset_at: 1_800_000_000 },
      },
      rate_limit_upsell: { anything: ['x'] },
    });
    t.match(limits, {
      plan: null,
      allowed: null,
      reached: true,
      windows: [
        { name: null, label: '5 h', usedPercent: 12.5, leftPercent: 87.5, resetsAt: NOW + 120_000 },
        { name: 'Spark', label: 'limit', seconds: null, usedPercent: 100, leftPercent: 0, resetsAt: null },
        { name: 'codex_bengalfox', label: '1 h', usedPercent: 0, leftPercent: 100 },
      ],
      credits: { unlimited: false, balance: '4.52' },
      spend: { reached: false, limit: '100', used: '50', resetsAt: 1_800_000_000_000 },
    });
    const bare = { plan: 'plus', allowed: null, reached: false, windows: [], credits: null, spend: null };
    t.strictSame(limitsIn({ plan_type: 'plus' }), bare, 'the one field that is always there');
    t.strictSame(
      limitsIn({ plan_type: 'plus', rate_limit: 'no', credits: [], additional_rate_limits: {} }),
      bare,
    );
  },
);

t.test('what tells of no limit is no answer', async (t) => {
  for (const body of [
    '',
    'null',
    '[]',
    '"plus"',
    '{}',
    '{"detail":"Not Found"}',
    '<html>',
    '{"plan_type":null}',
  ]) {
    t.equal(limitsIn(body), undefined, body);
  }
  const long = limitsIn({
    plan_type: 'p'.repeat(5000),
    rate_limit: {},
    credits: { balance: '9'.repeat(5000) },
  });
  t.match(long, { plan: null, credits: { balance: null } }, 'and what is that long is no name');
  const many = Array.from({ length: 500 }, () => ({
    limit_name: 'x',
    rate_limit: { a_window: windowOf(1, 60, 60) },
  }));
  t.ok((limitsIn({ plan_type: 'x', additional_rate_limits: many })?.windows.length ?? 0) <= 20);
});

async function ask(t: Test, listener: RequestListener, waitMs = 10_000, signal?: AbortSignal) {
  const port = await listen(createServer(listener), t);
  const source = usageSource({ env: {}, now: () => NOW, testIssuer: `http://127.0.0.1:${port}` });
  return source.ask(new Secret(alice.access), parseAccountId(alice.accountId), waitMs, signal);
}

t.test(
  "by how much this clock is ahead is told by the server's own, at the middle of the request",
  async (t) => {
    const asked = (date: string) =>
      ask(t, (_, response) => {
        response.setHeader('date', date).end(JSON.stringify(usageOf(people.alice)));
      });
    t.equal((await asked(new Date(NOW - 7_200_000).toUTCString())).aheadMs, 7_200_000);
    t.equal((await asked(new Date(NOW + 90_000).toUTCString())).aheadMs, -90_000);
    t.equal((await asked('yesterday')).aheadMs, undefined, 'one that tells no time says nothing');
  },
);

t.test('one request, with this token and this workspace, and nothing else of the login', async (t) => {
  const seen: unknown[] = [];
  const answer = await ask(t, ({ method, url, headers }, response) => {
    seen.push([method, url, headers.authorization, headers['chatgpt-account-id'], headers.cookie]);
    response.end(JSON.stringify(usageOf(people.alice)));
  });
  t.match(answer, { kind: 'answered', named: { userId: 'user-alice' }, limits: { plan: 'team' } });
  t.strictSame(seen, [
    ['GET', '/backend-api/wham/usage', `Bearer ${alice.access}`, alice.accountId, undefined],
  ]);
});

t.test('every other outcome is a state of its own, in words without the token', async (t) => {
  const said = (status: number, body: unknown, headers = {}): RequestListener => {
    return (_, response) => response.writeHead(status, headers).end(JSON.stringify(body));
  };
  const echo = { error: { code: alice.access, message: alice.access } };
  const outcomes = [
    await ask(t, said(401, { error: { code: 'token_expired' } })),
    await ask(t, said(401, { detail: { code: 'token_expired' } })),
    await ask(t, said(401, { error: 'token_invalidated' })),
    await ask(t, said(401, echo)),
    await ask(t, said(403, { error: { code: 'invalid_workspace_selected' } })),
    await ask(t, said(429, { error: 'rate_limit_exceeded' })),
    await ask(t, said(500, echo)),
    await ask(t, said(200, { ok: true })),
    await ask(t, said(302, {}, { location: 'https://chatgpt.com/elsewhere' })),
    await ask(t, (request) => void request.socket.destroy()),
    await ask(t, () => undefined, 300),
    await ask(t, (_, response) => void response.writeHead(200).write('{"plan_type":'), 300),
    await ask(t, (_, response) => response.end(`"${'x'.repeat(2 * 1024 * 1024)}"`)),
  ];
  t.match(outcomes, [
    { kind: 'expired', why: 'ChatGPT answered 401 token_expired' },
    { kind: 'expired' },
    { kind: 'rejected', why: 'ChatGPT answered 401 token_invalidated' },
    { kind: 'rejected', why: 'ChatGPT answered 401' },
    { kind: 'forbidden', why: 'ChatGPT answered 403 invalid_workspace_selected' },
    { kind: 'failed', why: 'ChatGPT answered 429 rate_limit_exceeded' },
    { kind: 'failed', why: 'ChatGPT answered 500' },
    { kind: 'failed', why: /200 with nothing that tells of limits/ },
    { kind: 'failed', why: /redirect/ },
    { kind: 'unreachable' },
    { kind: 'timeout', why: 'ChatGPT did not answer within 1 s' },
    { kind: 'timeout' },
    { kind: 'unreachable', why: /more than/ },
  ]);
  t.notMatch(JSON.stringify(outcomes), /CANARY|eyJ/);
});

t.test('who stops it is not told of a timeout, and no other place is ever asked', async (t) => {
  const stop = new AbortController();
  const asked = ask(t, () => stop.abort(), 10_000, stop.signal);
  t.match(await asked, { kind: 'unreachable', why: 'it was interrupted' });
  for (const testIssuer of ['http://192.0.2.1:9', 'http://example.test', 'https://example.test']) {
    const source = usageSource({ env: {}, now: () => NOW, testIssuer });
    const asking = source.ask(new Secret(alice.access), parseAccountId(alice.accountId), 500);
    await t.rejects(asking, { code: 'ISSUER_FOREIGN' });
  }
});
