import t from 'tap';
import { freePort } from '../kit/backend.js';
import { type Issuer, startIssuer } from '../kit/issuer.js';
import { type Gateway, openclaw } from '../kit/openclaw.js';
import { until } from '../kit/process.js';
import type { Tester } from '../kit/real.js';
import { type JsonDocument, leaksOf, router, sandbox } from '../kit/router.js';
import { makeState, PIN, type Release } from '../kit/state.js';
import { codexAuthJson, type Login, type Person, people } from '../kit/tokens.js';

/** What a note says when a busy machine's gateway did not answer within codex-router's bounds. */
const TOO_SLOW = /did not say in time|did not end within|GATEWAY_TIMEOUT/;

/** A state directory with a login in its slot, and what a test does with it and its gateway. */
async function host(t: Tester, release: Release, occupant: (issuer: Issuer) => Login) {
  const issuer = await startIssuer(t);
  const box = sandbox(t);
  box.env.CODEX_ROUTER_KEY = 'file';
  const claw = openclaw(t, box, release, issuer);
  if (!claw) return null;
  const state = makeState(box.stateDir, {
    release,
    slot: occupant(issuer),
    baseUrl: `${issuer.url}/backend-api`,
    port: await freePort(),
  });
  let gateway: Gateway | null = null;
  return {
    issuer,
    box,
    state,
    start: async () => {
      gateway = await claw.startGateway(state);
    },
    import: async (login: Login): Promise<JsonDocument> => {
      const input = codexAuthJson(login);
      return (await router(box, ['import', '--from', '-', '--json'], { input })).json;
    },
    /**
     * The same `use` again for as long as the gateway was merely too slow to answer, as its note advises; the first
     * document and the last.
     */
    useUntilTold: async (who: Person): Promise<{ first: JsonDocument; last: JsonDocument }> => {
      const documents: JsonDocument[] = [];
      await until(
        'the gateway answers in time',
        async () => {
          documents.push((await router(box, ['use', who.accountId, '--json'])).json);
          return !TOO_SLOW.test(JSON.stringify(documents.at(-1)?.notes));
        },
        180_000,
      );
      return { first: documents[0], last: documents.at(-1) };
    },
    /** The model calls of one turn. */
    turn: async () => {
      await gateway?.turn();
      return issuer.model.take();
    },
  };
}

t.test('2026.5.7: the turn after a proved use is on the new identity', async (t) => {
  const claw = await host(t, '2026.5.7', (issuer) => issuer.mint(people.alice));
  if (!claw) return;
  const bob = claw.issuer.mint(people.bob);
  t.match(await claw.import(bob), { ok: true, result: 'imported' });
  await claw.start();
  t.match(await claw.turn(), [{ email: people.alice.email, accountHeader: people.alice.accountId }]);

  const told = { effective: 'now', proved: true };
  const there = await claw.useUntilTold(people.bob);
  t.match(there.first, { result: 'switched', from: { accountId: people.alice.accountId } });
  t.match(there.last, told, 'to bob', there);
  t.match(await claw.turn(), [{ bearer: bob.access, accountHeader: people.bob.accountId }]);

  const back = await claw.useUntilTold(people.alice);
  t.match(back.first, { result: 'switched', from: { accountId: people.bob.accountId } });
  t.match(back.last, told, 'and back', back);
  t.match(await claw.turn(), [{ email: people.alice.email, accountHeader: people.alice.accountId }]);

  t.match(claw.state.sessions()['agent:main:main'], PIN);
  t.strictSame(claw.issuer.reuses(), []);
  t.strictSame(leaksOf(claw.box), []);
});

t.test('2026.5.7: a slot that OpenClaw refreshed is checked in with the rotated token', async (t) => {
  const claw = await host(t, '2026.5.7', (issuer) => issuer.mint(people.alice));
  if (!claw) return;
  // Less than five minutes left: OpenClaw refreshes at its next turn. No gateway runs yet that `use` could make do it.
  const carol = claw.issuer.mint(people.carol, { expiresAt: Date.now() + 60_000 });
  t.match(await claw.import(carol), { ok: true });
  t.match((await claw.useUntilTold(people.carol)).first, { result: 'switched', effective: 'no-gateway' });
  t.match(claw.state.slot(), { refresh: carol.refresh });
  t.strictSame(claw.issuer.of('refresh'), []);

  await claw.start();
  t.match(await claw.turn(), [{ email: people.carol.email }]);
  const rotated = claw.state.slot();
  t.not(rotated?.refresh, carol.refresh, 'OpenClaw rotated the grant in its slot');
  t.match(claw.issuer.of('refresh'), [{ status: 200, who: `${people.carol.accountId}/user-carol` }]);

  const away = await claw.useUntilTold(people.alice);
  const takenHome = { accountId: people.carol.accountId, userId: 'user-carol', result: 'taken-home' };
  t.match(away.first, { result: 'switched', checkedIn: [takenHome] }, 'away', away);
  const back = await claw.useUntilTold(people.carol);
  t.match(back.first, { result: 'switched' }, 'and back', back);
  t.match(claw.state.slot(), {
    refresh: rotated?.refresh,
    access: rotated?.access,
    expires: rotated?.expires,
  });
  t.match(await claw.turn(), [{ bearer: rotated?.access, accountHeader: people.carol.accountId }]);
  t.match(
    await claw.issuer.refresh(String(claw.state.slot()?.refresh)),
    { ok: true },
    'the rotated token lives',
  );
  t.strictSame(claw.issuer.reuses(), []);
  t.strictSame(leaksOf(claw.box), []);
});

t.test('2026.3.28: the turn after use is on the new identity, told by the installed openclaw', async (t) => {
  const claw = await host(t, '2026.3.28', (issuer) => issuer.mint(people.alice));
  if (!claw) return;
  const bob = claw.issuer.mint(people.bob);
  t.match(await claw.import(bob), { ok: true });
  await claw.start();
  t.match(await claw.turn(), [{ email: people.alice.email }]);
  const there = await claw.useUntilTold(people.bob);
  t.match(there.first, { result: 'switched' });
  t.match(there.last, { effective: 'now', proved: false }, 'to bob', there);
  t.match(await claw.turn(), [{ bearer: bob.access, accountHeader: people.bob.accountId }]);
  t.strictSame(claw.issuer.reuses(), []);
  t.strictSame(leaksOf(claw.box), []);
});
