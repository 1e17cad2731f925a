import t from 'tap';
import { freePort } from '../kit/backend.js';
import { findCanary, withoutProfiles } from '../kit/canary.js';
import { type Issuer, startIssuer } from '../kit/issuer.js';
import { openclaw } from '../kit/openclaw.js';
import { leaksOf, type Owner, router, type Sandbox, sandbox } from '../kit/router.js';
import { makeState, type Release, SLOT, type StateOptions } from '../kit/state.js';
import { codexAuthJson, type Login, people } from '../kit/tokens.js';

const HOUR = 60 * 60 * 1000;

/** A running gateway of this release, and the two ways a test drives it: `use` and a turn. */
async function started(
  t: Owner & Parameters<typeof openclaw>[0],
  release: Release,
  slot: (issuer: Issuer) => Login,
) {
  const issuer = await startIssuer(t);
  const box = sandbox(t);
  box.env.CODEX_ROUTER_KEY = 'file';
  const claw = openclaw(t, box, release, issuer);
  if (!claw) return null;
  const options: StateOptions = {
    release,
    slot: slot(issuer),
    baseUrl: `${issuer.url}/backend-api`,
    port: await freePort(),
  };
  const state = makeState(box.stateDir, options);
  const gateway = await claw.startGateway(state);
  const use = async (who: { readonly accountId: string }) =>
    (await router(box, ['use', who.accountId, '--json'])).json;
  const turn = async () => {
    await gateway.turn();
    return issuer.model.take();
  };
  return { issuer, box, claw, state, gateway, use, turn };
}

async function store(t: Tap.Test, box: Sandbox, login: Login): Promise<void> {
  const { json } = await router(box, ['import', '--from', '-', '--json'], { input: codexAuthJson(login) });
  t.match(json, { ok: true, imported: [{ identity: { accountId: login.accountId }, result: 'added' }] });
}

t.test('2026.5.7: the turn after a proved use is on the new identity', async (t) => {
  const alive = await started(t, '2026.5.7', (issuer) => issuer.mint(people.alice));
  if (!alive) return;
  const { issuer, box, state, use, turn } = alive;
  const bob = issuer.mint(people.bob);
  await store(t, box, bob);
  t.match(await turn(), [{ email: people.alice.email, accountHeader: people.alice.accountId }]);
  t.match(await use(people.bob), {
    result: 'switched',
    from: people.alice.accountId && { accountId: people.alice.accountId },
    to: { accountId: people.bob.accountId },
    effective: 'now',
    proved: true,
  });
  t.match(await turn(), [{ bearer: bob.access, accountHeader: people.bob.accountId }]);
  t.match(await use(people.alice), { result: 'switched', effective: 'now', proved: true });
  t.match(await turn(), [{ email: people.alice.email, accountHeader: people.alice.accountId }]);
  t.match(state.sessions()['agent:main:main'], {
    authProfileOverride: SLOT,
    authProfileOverrideSource: 'user',
  });
  t.strictSame(issuer.reuses(), []);
  t.strictSame(leaksOf(box), []);
});
