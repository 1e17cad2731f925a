import t from 'tap';
import { type UsageSourceDeps, usageSource } from '../../src/codex/usage.js';
import { parseAccountId } from '../../src/identity.js';
import { Secret } from '../../src/secret.js';
import { startIssuer } from './issuer.js';
import { HOUR, limitsOf, simulatedClock } from './limits.js';
import { runProcess } from './process.js';
import { sandbox } from './router.js';
import { type Login, people } from './tokens.js';

const { alice, bob } = people;

t.test(
  'turns spend both windows, a full one refuses as Codex does, and the clock gives it back',
  async (t) => {
    const issuer = await startIssuer(t);
    const limits = limitsOf(issuer, simulatedClock(sandbox(t)));
    const { clock } = limits;
    const login = issuer.mint(alice, { expiresAt: clock.now() + 30 * 24 * HOUR });
    limits.give(alice, { fiveHour: 2, week: 3, weekEndsIn: 24 * HOUR });
    t.match(limits.left(alice), { fiveHour: 100, week: 100 });

    t.equal((await call(issuer.url, login)).status, 200);
    const second = await call(issuer.url, login);
    t.equal(second.headers.get('x-codex-primary-used-percent'), '100.0');
    t.match(limits.left(alice), { fiveHour: 0, week: 34 });
    const refused = await call(issuer.url, login);
    t.equal(refused.status, 429);
    const { fiveHourResetsAt, weekResetsAt } = limits.left(alice);
    t.match(await refused.json(), {
      error: { type: 'usage_limit_reached', resets_at: Math.round(fiveHourResetsAt / 1000) },
    });
    t.match(limits.left(alice), { fiveHour: 0, week: 34 }, 'what is refused spends nothing');

    clock.leap(5 * HOUR);
    t.match(limits.left(alice), { fiveHour: 100, week: 34 });
    t.equal((await call(issuer.url, login)).status, 200);
    const over = (await (await call(issuer.url, login)).json()) as { error: { resets_at: number } };
    t.equal(over.error.resets_at, Math.round(weekResetsAt / 1000), 'the week is full, its reset is told');
    clock.leap(19 * HOUR);
    t.match(limits.left(alice), { fiveHour: 100, week: 100 });
    t.strictSame(
      limits.calls.map(({ refused }) => refused),
      [false, false, true, false, true],
    );
  },
);

t.test('usage tells what is left in the time of the clock, and nobody else changes it', async (t) => {
  const issuer = await startIssuer(t);
  const limits = limitsOf(issuer, simulatedClock(sandbox(t)));
  const { clock } = limits;
  clock.leap(100 * HOUR);
  const login = issuer.mint(alice, { expiresAt: clock.now() + 30 * 24 * HOUR });
  const other = issuer.mint(bob);
  limits.give(alice, { fiveHour: 10, week: 40, weekSpent: 10, weekEndsIn: 48 * HOUR });
  limits.give(bob, { fiveHour: 10, week: 40 });
  limits.spend(alice, 3);
  const told = await ask(issuer.url, login, clock.now);
  const { fiveHourResetsAt, weekResetsAt } = limits.left(alice);
  t.match(told, { kind: 'answered', limits: { reached: false } });
  t.strictSame(
    told.kind === 'answered' && told.limits.windows.map(({ label, leftPercent }) => [label, leftPercent]),
    [
      ['5 h', 70],
      ['week', 68],
    ],
  );
  const whole = (at: number | null | undefined) => Math.round((at ?? 0) / 1000);
  t.strictSame(told.kind === 'answered' && told.limits.windows.map(({ resetsAt }) => whole(resetsAt)), [
    whole(fiveHourResetsAt),
    whole(weekResetsAt),
  ]);
  t.ok(Math.abs(told.aheadMs ?? Infinity) < 60_000, 'the server lives in the same time');
  t.match(limits.left(bob), { fiveHour: 100, week: 100 });

  limits.fail(alice, { status: 500, body: {} });
  t.match(await ask(issuer.url, login, clock.now), { kind: 'failed' });
  t.match(await ask(issuer.url, other, clock.now), { kind: 'answered' }, 'nobody else fails');
  limits.fail(alice, null);
  t.match(await ask(issuer.url, login, clock.now), { kind: 'answered' });
});

t.test('a program that is given the clock lives in its time, through every leap', async (t) => {
  const box = sandbox(t);
  const clock = simulatedClock(box);
  const tell = async () => {
    const ran = await runProcess([process.execPath, '-e', 'process.stdout.write(String(Date.now()))'], {
      env: { ...box.env, ...clock.env },
      cwd: box.home,
    });
    return Number(ran.stdout);
  };
  const before = await tell();
  clock.leap(9 * HOUR);
  t.ok((await tell()) - before >= 9 * HOUR);
  t.ok(clock.now() - before >= 9 * HOUR);
});

function call(url: string, { access, accountId }: Login): Promise<Response> {
  return fetch(`${url}/backend-api/codex/responses`, {
    method: 'POST',
    headers: { authorization: `Bearer ${access}`, 'chatgpt-account-id': accountId },
    body: '{}',
  });
}

function ask(url: string, { access, accountId }: Login, now: () => number) {
  const deps: UsageSourceDeps = { env: {}, testIssuer: url, now };
  return usageSource(deps).ask(new Secret(access), parseAccountId(accountId), 5000);
}
