import { existsSync } from 'node:fs';
import t from 'tap';
import { startBackend } from '../kit/backend.js';
import { findCanary } from '../kit/canary.js';
import { openclaw } from '../kit/openclaw.js';
import { outputOf, type ProcessRun } from '../kit/process.js';
import type { Tester } from '../kit/real.js';
import { leaksOf, router, sandbox } from '../kit/router.js';
import {
  makeState,
  type OpenClawState,
  PIN,
  RELEASES,
  type Release,
  SLOT,
  type StateOptions,
} from '../kit/state.js';
import { codexAuthJson, type Login, loginOf } from '../kit/tokens.js';

/** A state directory of this release, the release itself, and the backend that its turns reach. */
async function host(t: Tester, release: Release, options: Omit<StateOptions, 'release' | 'baseUrl'>) {
  const box = sandbox(t);
  box.env.CODEX_ROUTER_KEY = 'file';
  const backend = await startBackend(t);
  const claw = openclaw(t, box, release);
  if (!claw) return null;
  const state = makeState(box.stateDir, { release, baseUrl: backend.baseUrl, ...options });
  const call = async (turn: Promise<ProcessRun>) => {
    const result = await turn;
    if (result.code !== 0) throw new Error(`the turn failed\n${outputOf(result)}`);
    return backend.take();
  };
  return { box, claw, state, turn: (agent?: string) => call(claw.localTurn(agent ? { agent } : {})) };
}

/** Where in the host each refresh token is: `<agent>/<profile id>`, by the login's user. */
function placesOf(state: OpenClawState, logins: readonly Login[], agents: readonly string[] = ['main']) {
  return Object.fromEntries(
    logins.map((login) => [
      login.userId,
      agents.flatMap((agent) =>
        existsSync(state.paths(agent).profiles)
          ? Object.entries(state.profiles(agent))
              .filter(([, entry]) => entry.refresh === login.refresh)
              .map(([id]) => `${agent}/${id}`)
          : [],
      ),
    ]),
  );
}

for (const release of RELEASES) {
  t.test(`${release}: after use, the turn is on the routed identity and OpenClaw shows it`, async (t) => {
    const alice = loginOf('alice');
    const bob = loginOf('bob-team');
    const there = await host(t, release, { slot: alice });
    if (!there) return;
    const { box, claw, state, turn } = there;
    t.match(await turn(), [{ bearer: alice.access, accountHeader: alice.accountId }], 'before');

    const added = await router(box, ['import', '--from', '-', '--json'], { input: codexAuthJson(bob) });
    t.match(added.json, { imported: [{ result: 'added' }] });
    const { json } = await router(box, ['use', bob.accountId, '--json']);
    t.match(json, {
      result: 'switched',
      from: { accountId: alice.accountId },
      to: { accountId: bob.accountId, userId: bob.userId },
      effective: 'no-gateway',
      slot: { agent: 'main', profileId: SLOT },
    });
    t.match(await turn(), [{ bearer: bob.access, accountHeader: bob.accountId }], 'after');
    t.match(state.sessions()['agent:main:main'], PIN);
    const status = await claw.json(['models', 'status', '--json']);
    t.match(status.auth.oauth.profiles, [
      { profileId: SLOT, status: 'ok', expiresAt: bob.expires, label: `${SLOT} (${bob.email})` },
    ]);
    const known = await router(box, ['status', '--json']);
    t.match(known.json, {
      host: { release: { version: release } },
      slots: [{ occupant: { userId: bob.userId } }],
    });
    t.strictSame(placesOf(state, [alice, bob]), { [alice.userId]: [], [bob.userId]: [`main/${SLOT}`] });
    t.strictSame(leaksOf(box), []);
  });

  t.test(`${release}: a native store of three logins is imported and each is used in turn`, async (t) => {
    const three = [loginOf('alice'), loginOf('bob'), loginOf('carol')] as const;
    const [alice, bob, carol] = three;
    const there = await host(t, release, {
      slot: alice,
      others: { [`openai-codex:${bob.email}`]: bob, [`openai-codex:${carol.email}`]: carol },
    });
    if (!there) return;
    const { box, claw, state, turn } = there;
    const seen = (await claw.json(['models', 'status', '--json'])).auth.oauth.profiles;
    t.equal(seen.length, 3, 'OpenClaw itself sees three');

    const { json } = await router(box, ['import', '--from', 'openclaw', '--json']);
    t.strictSame(
      json.imported.map((one: { identity: { userId: string }; result: string }) => [
        one.identity.userId,
        one.result,
      ]),
      three.map((login) => [login.userId, 'added']),
    );
    for (const login of [bob, carol, alice, bob]) {
      const used = await router(box, ['use', login.accountId, '--json']);
      t.match(used.json, { result: 'switched', to: { userId: login.userId } });
      t.match(state.slot(), { access: login.access, refresh: login.refresh, expires: login.expires });
      const places = placesOf(state, three);
      t.strictSame(places[login.userId], [`main/${SLOT}`], `${login.userId} is in the slot alone`);
      for (const other of three) {
        t.ok((places[other.userId]?.length ?? 9) <= 1, `${other.userId} is nowhere twice`);
      }
    }
    t.match(await turn(), [{ bearer: bob.access, accountHeader: bob.accountId }]);
    const left = (await claw.json(['models', 'status', '--json'])).auth.oauth.profiles;
    t.match(left, [{ profileId: SLOT, label: `${SLOT} (${bob.email})` }]);
    t.equal(left.length, 1, 'the others are parked in the repo');
    t.strictSame(leaksOf(box), []);
    t.strictSame(
      findCanary([box.stateDir]).map(({ where }) => where),
      [state.paths().profiles],
      'nor is a token left anywhere else in the host',
    );
  });
}

t.test('2026.3.28: an agent that OpenClaw copied from main is routed with main', async (t) => {
  const [alice, bob] = [loginOf('alice'), loginOf('bob')];
  const there = await host(t, '2026.3.28', { slot: alice, agents: [{ id: 'work' }] });
  if (!there) return;
  const { box, state, turn } = there;
  t.match(await turn('work'), [{ bearer: alice.access }]);
  t.equal(state.slot('work')?.refresh, alice.refresh, 'OpenClaw copied the login');
  await router(box, ['import', '--from', '-', '--json'], { input: codexAuthJson(bob) });
  const { json } = await router(box, ['use', bob.accountId, '--json']);
  t.match(json, { result: 'switched', affects: { agents: ['main', 'work'] } });
  t.strictSame(placesOf(state, [alice, bob], ['main', 'work']), {
    [alice.userId]: [],
    [bob.userId]: [`main/${SLOT}`, `work/${SLOT}`],
  });
  t.match(await turn('work'), [{ bearer: bob.access, accountHeader: bob.accountId }]);
  const alone = await router(box, ['use', alice.accountId, '--agent', 'work', '--json']);
  t.match(alone.json, { ok: false, error: { code: 'AGENTS_TIED', hint: /without --agent/ } });
  t.equal(
    state.slot('work')?.refresh,
    bob.refresh,
    'two identities cannot be kept apart here: nothing was written',
  );
  t.strictSame(leaksOf(box), []);
});

t.test('2026.5.7: two agents keep two identities, each on the wire', async (t) => {
  const [alice, bob, carol] = [loginOf('alice'), loginOf('bob'), loginOf('carol')];
  const there = await host(t, '2026.5.7', { slot: alice, agents: [{ id: 'work', slot: bob }] });
  if (!there) return;
  const { box, turn } = there;
  await router(box, ['import', '--from', '-', '--json'], { input: codexAuthJson(carol) });
  const { json } = await router(box, ['use', carol.accountId, '--agent', 'work', '--json']);
  t.match(json, { result: 'switched', from: { userId: bob.userId }, affects: { agents: ['work'] } });
  t.match(await turn('work'), [{ bearer: carol.access, accountHeader: carol.accountId }]);
  t.match(await turn(), [{ bearer: alice.access, accountHeader: alice.accountId }], 'main is as it was');
  t.strictSame(leaksOf(box), []);
});

t.test('2026.5.7: an agent that reads through to main follows it', async (t) => {
  const [alice, bob] = [loginOf('alice'), loginOf('bob')];
  const there = await host(t, '2026.5.7', { slot: alice, agents: [{ id: 'work' }] });
  if (!there) return;
  const { box, state, turn } = there;
  await router(box, ['import', '--from', '-', '--json'], { input: codexAuthJson(bob) });
  const { json } = await router(box, ['use', bob.accountId, '--json']);
  t.match(json, { result: 'switched', affects: { agents: ['main', 'work'] } });
  t.match(await turn('work'), [{ bearer: bob.access, accountHeader: bob.accountId }]);
  t.strictSame(placesOf(state, [alice, bob], ['main', 'work'])[alice.userId], []);
  t.strictSame(leaksOf(box), []);
});
