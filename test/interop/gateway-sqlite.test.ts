import { readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { activeRuns, type ReloadDeps, reloadGateway } from '../../src/openclaw/gateway.js';
import { parseGatewayConfig } from '../../src/openclaw/gateway-config.js';
import { freePort, type ModelCall } from '../kit/backend.js';
import {
  endedByItself,
  type GatewayHost,
  type GatewayHostOptions,
  gatewayHost,
} from '../kit/gateway-host.js';
import { startIssuer } from '../kit/issuer.js';
import { until } from '../kit/process.js';
import type { Tester } from '../kit/real.js';
import { everyReleaseAsked, type Release, releasesToRun, traitsOf } from '../kit/releases.js';
import { type JsonDocument, leaksOf, router, type Sandbox, sandbox } from '../kit/router.js';
import { codexAuthJson, DAY, type Login, people } from '../kit/tokens.js';

type Name = 'alice' | 'bob' | 'carol';
const NAMES: readonly Name[] = ['alice', 'bob', 'carol'];

/** What a note says when a busy machine's gateway did not answer within codex-router's bounds. */
const TOO_SLOW = /did not say in time|GATEWAY_TIMEOUT|GATEWAY_STARTING/;
const PROVED = { effective: 'now', proved: true, advice: null, notes: [] };
const MAIN = 'agent:main:main';
const HELD = 'agent:main:held';
const FENCE = /^openclaw-oauth-refresh-fence:/;

const releases = (...wanted: Release[]) => wanted.filter((release) => releasesToRun().includes(release));

/** The people the model calls were made as. */
const emails = (calls: readonly ModelCall[]) => [...new Set(calls.map((call) => call.email))];

/**
 * The scenario once more on a fresh host, where 2026.9.6 ended its turns by itself: the SDK that puts a login in beside the gateway is another
 * OpenClaw, and one that meets the gateway's maintenance leaves it with every further turn refused.
 */
async function afresh(t: Test, scenario: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await scenario();
    } catch (error) {
      if (attempt === 3 || !endedByItself(error)) throw error;
      t.comment(`once more on a fresh host: ${String(error).slice(0, 80)}`);
    }
  }
}

/** A host with alice in its slot, and codex-router beside it. The expiries differ, so that an answer tells whose it is. */
async function stage(t: Tester, release: Release, options: GatewayHostOptions = {}) {
  const issuer = await startIssuer(t);
  const box = sandbox(t);
  box.env.CODEX_ROUTER_KEY = 'file';
  const host = await gatewayHost(t, box, release, issuer, options);
  if (host === null) return null;
  const mint = (name: Name, days: number) =>
    issuer.mint(people[name], { expiresAt: Date.now() + days * DAY });
  const logins = { alice: mint('alice', 10), bob: mint('bob', 9), carol: mint('carol', 8) };
  await host.put(logins.alice);
  const run = async (args: readonly string[], input?: string): Promise<JsonDocument> => {
    const typed = input === undefined ? {} : { input };
    return (await router(box, [...args, '--json'], { node: host.node, timeout: 180_000, ...typed })).json;
  };
  return {
    ...logins,
    issuer,
    box,
    host,
    import: (login: Login) => run(['import', '--from', '-'], codexAuthJson(login)),
    use: (name: Name) => run(['use', people[name].accountId]),
    /** The same `use` again while the gateway was merely too slow to answer, as its note advises: the first and the last. */
    useUntilTold: async (name: Name) => {
      const documents: JsonDocument[] = [];
      await until(
        'the gateway answers in time',
        async () => {
          documents.push(await run(['use', people[name].accountId]));
          return !TOO_SLOW.test(JSON.stringify(documents.at(-1)?.notes));
        },
        180_000,
      );
      return { first: documents[0], last: documents.at(-1) };
    },
  };
}

/** What codex-router knows when it reloads; this machine's gateway gets more time than a person's would. */
function deps(box: Sandbox, host: GatewayHost, login: Login, agent = 'main'): ReloadDeps {
  return {
    config: parseGatewayConfig(JSON.parse(readFileSync(host.configPath, 'utf8')).gateway),
    configPath: host.configPath,
    stateDir: host.stateDir,
    env: box.env,
    release: host.release,
    command: null,
    agent,
    inMainStore: agent === 'main',
    provider: host.provider,
    profileId: host.slotId,
    expiresAt: login.expires,
    now: Date.now,
    temporary: box.tmp,
    limits: { exchange: 60_000, command: 60_000 },
  };
}

/** Where time is short, one of each layout. */
const SWITCHED: readonly Release[] = everyReleaseAsked
  ? ['2026.5.28', '2026.6.1', '2026.6.11', '2026.7.35', '2026.8.1', '2026.9.1', '2026.9.6']
  : ['2026.6.1', '2026.7.35', '2026.9.6'];

for (const release of releases(...SWITCHED)) {
  t.test(`${release}: the turn after a proved use is on the new identity`, async (t) => {
    // The turns here go over HTTP, which codex-router cannot know (chat-connection.test.ts has them on a kept connection).
    const keepsConnections = traitsOf(release).layout === 'sqlite-shared';
    const claw = await stage(t, release);
    if (!claw) return;
    const { box, host, issuer, alice, bob, carol } = claw;
    t.match(await claw.import(bob), { ok: true, result: 'imported' });
    await host.start();
    t.strictSame(emails(await host.turn()), [people.alice.email]);

    const there = await claw.useUntilTold('bob');
    t.match(there.first, { result: 'switched', from: { accountId: people.alice.accountId } });
    const told = { effective: keepsConnections ? 'after-idle' : 'now', proved: true };
    t.match(there.last, told, 'to bob', there);
    t.strictSame(emails(await host.turn()), [people.bob.email]);
    const back = await claw.useUntilTold('alice');
    t.match(back.last, told, 'and back', back);
    t.strictSame(emails(await host.turn()), [people.alice.email]);
    t.match((await host.slot())?.refresh, alice.refresh);
    t.match((await host.read()).sessions[MAIN], {
      authProfileOverride: host.slotId,
      authProfileOverrideSource: 'user',
    });

    const other = await reloadGateway(deps(box, host, carol));
    t.match(other, { effective: 'after-next-turn', notes: [{ code: 'GATEWAY_OTHER_LOGIN' }] });

    // A turn that waits for the model is a running one, whose session's pin the host may still overwrite. It has a session
    // of its own, because 5.28 may still be writing the last turn into the main one.
    const answer = issuer.model.handle;
    let answerIt: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      answerIt = resolve;
    });
    issuer.model.handle = (request, response) => void held.then(() => answer(request, response));
    const turn = host.turn('main', HELD);
    const running = await until('the turn is seen to run', async () => {
      const keys = await activeRuns(deps(box, host, alice));
      return keys?.has(HELD) ? keys : null;
    });
    t.strictSame(running, new Set([HELD]));
    answerIt();
    t.strictSame(emails(await turn), [people.alice.email]);
    await until(
      'it is seen to have ended',
      async () => (await activeRuns(deps(box, host, alice)))?.size === 0,
    );

    await host.stop();
    t.match(await claw.use('bob'), { result: 'switched', effective: 'no-gateway', notes: [] });
    t.strictSame(await host.integrity(), []);
    t.strictSame(issuer.reuses(), []);
    t.strictSame(leaksOf(box), []);
  });
}

for (const release of releases('2026.7.35', '2026.9.6')) {
  t.test(`${release}: the login of a second agent, proved where a gateway can be asked for it`, (t) =>
    afresh(t, async () => {
      const claw = await stage(t, release, { agents: ['work'] });
      if (!claw) return;
      const { box, host, bob, carol } = claw;
      await host.put(bob, 'work');
      await host.start();
      t.strictSame(emails(await host.turn('work')), [people.bob.email]);
      await host.put(carol, 'work');
      const outcome = await reloadGateway(deps(box, host, carol, 'work'));
      if (release === '2026.7.35') t.match(outcome, { effective: 'now', proved: false });
      else t.strictSame(outcome, PROVED);
      t.strictSame(emails(await host.turn('work')), [people.carol.email]);
      t.strictSame(emails(await host.turn('main')), [people.alice.email]);
      t.strictSame(await host.integrity(), []);
    }),
  );
}

for (const release of releases('2026.9.6')) {
  t.test(`${release}: a gateway with a password, on a port that only its lock tells`, async (t) => {
    const password = 'test-gateway-password-0123456789';
    const port = await freePort();
    const claw = await stage(t, release, {
      gateway: (own) => ({ ...own, port, auth: { mode: 'password', password } }),
      password,
    });
    if (!claw) return;
    const { box, host, bob } = claw;
    await host.start();
    await host.put(bob);
    t.strictSame(await reloadGateway(deps(box, host, bob)), PROVED);

    const { gateway } = JSON.parse(readFileSync(host.configPath, 'utf8'));
    const asConfigured = async (changes: Record<string, unknown>) => {
      const config = parseGatewayConfig({ ...gateway, port: host.port, ...changes });
      return await reloadGateway({ ...deps(box, host, bob), config });
    };
    const told = { effective: 'after-next-turn', proved: false };
    const wrong = await asConfigured({ auth: { mode: 'password', password: 'another' } });
    t.match(wrong, { ...told, notes: [{ code: 'GATEWAY_DENIED' }] });
    const tls = await asConfigured({ tls: { enabled: true } });
    t.match(tls, { ...told, notes: [{ code: 'GATEWAY_TLS' }] });
  });
}

for (const release of releases('2026.5.28')) {
  t.test(`${release}: a gateway that asks for no secret lets codex-router in`, async (t) => {
    const claw = await stage(t, release, { gateway: (own) => ({ ...own, auth: { mode: 'none' } }) });
    if (!claw) return;
    const { box, host, bob } = claw;
    await host.start();
    await host.put(bob);
    t.strictSame(await reloadGateway(deps(box, host, bob)), PROVED);
    t.strictSame(await activeRuns(deps(box, host, bob)), new Set());
  });
}

/** Numbers from 0 to 1, the same in every run (Lehmer). */
function chances(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

/** One of each layout; where time is short only those of databases, which 6.1 keeps no logins in. */
const RACED: readonly Release[] = everyReleaseAsked
  ? ['2026.6.1', '2026.7.35', '2026.9.6']
  : ['2026.7.35', '2026.9.6'];

for (const release of releases(...RACED)) {
  t.test(`${release}: an hour of turns, refreshes and switches, compressed, loses no login`, async (t) => {
    const claw = await stage(t, release);
    if (!claw) return;
    const { box, host, issuer } = claw;
    for (const name of ['bob', 'carol'] as const) t.match(await claw.import(claw[name]), { ok: true });
    await host.start();
    const chance = chances(20_261_121);
    const story: string[] = [];
    let current: Name = 'alice';

    const occupant = (): Name => current;
    const turn = async () => {
      const calls = await until('a turn succeeds', async () => {
        return await host.turn().catch((error: unknown) => {
          // 9.6 has no credentials for a turn while it refreshes them itself.
          if (!String(error).includes('No credentials found')) throw error;
          return null;
        });
      });
      t.strictSame(emails(calls), [people[current].email], story.join(', '));
    };
    const letRefresh = async () => {
      await host.expire(Date.now() - 1000);
      if (release === '2026.9.6') await host.call('models.authRefresh', { operation: 'update' });
      else await host.call('models.authStatus', { refresh: true });
    };
    const use = async (name: Name) => {
      const { first, last } = await claw.useUntilTold(name);
      t.match(first, { result: name === current ? 'already' : 'switched' }, story.join(', '), first);
      t.match(last, { effective: /^(now|after-idle)$/ }, story.join(', '), last);
      current = name;
    };

    await turn();
    // Alice's login comes home with the first switch; until then codex-router does not know her.
    await use('bob');
    for (let step = 0; step < 20; step += 1) {
      const kind = chance();
      const name = NAMES[Math.floor(chance() * NAMES.length)] ?? 'alice';
      if (kind < 0.3) {
        story.push('turn');
        await turn();
      } else if (kind < 0.55) {
        // With under five minutes left the host refreshes again at every chance it gets.
        issuer.behaviour.accessTtl = chance() < 0.5 ? 240 : 10 * 24 * 3600;
        story.push(`refresh (${issuer.behaviour.accessTtl} s)`);
        const before = (await host.slot())?.refresh;
        await letRefresh();
        await turn();
        t.not((await host.slot())?.refresh, before, story.join(', '));
      } else {
        story.push(`use ${name}`);
        await use(name);
      }
    }

    if (release === '2026.9.6') {
      // With a long life before it, the login is not refreshed unasked.
      issuer.behaviour.accessTtl = 10 * 24 * 3600;
      await letRefresh();
      await turn();
      const from = occupant();
      const to = from === 'bob' ? 'carol' : 'bob';
      story.push(`use ${to} while ${from} is refreshed`);
      const letGo = host.holdRefreshes();
      await letRefresh();
      await until('the slot holds a fence', async () => FENCE.test(String((await host.slot())?.refresh)));
      const using = claw.useUntilTold(to);
      // An undisturbed `use` has written after a second. One that starts later than this finds the refresh done, which is fine.
      await new Promise((resolve) => setTimeout(resolve, 3000));
      t.match((await host.slot())?.refresh, FENCE, 'it waits for the rotated token');
      letGo();
      const { first } = await using;
      t.match(first, { result: 'switched', checkedIn: [{ result: 'taken-home' }] }, 'fence', first);
      current = to;
      await turn();
    }

    for (const name of NAMES) {
      await use(name);
      const slot = await host.slot();
      t.equal(slot?.email, people[name].email);
      const settled = await until('no refresh is under way', async () => {
        const { refresh } = (await host.slot()) ?? {};
        return FENCE.test(String(refresh)) ? null : String(refresh);
      });
      t.ok(issuer.isLive(settled), `${name} still has a grant: ${story.join(', ')}`);
    }
    t.strictSame(issuer.reuses(), []);
    const { sessions } = await host.read();
    t.match(sessions[MAIN], { authProfileOverride: host.slotId });
    t.strictSame(await host.integrity(), []);
    t.strictSame(leaksOf(box), []);
  });
}
