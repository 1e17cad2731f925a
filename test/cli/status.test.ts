import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { startGatewayStandIn } from '../kit/gateway-stand-in.js';
import { NONE } from '../kit/none.js';
import { withoutEscapes } from '../kit/router.js';
import { makeState, PIN, PROVIDER, profileOf, SLOT, writeJson } from '../kit/state.js';
import { loginOf } from '../kit/tokens.js';
import { type Machine, machine } from './machine.js';

const alice = loginOf('alice');
// A gateway tells a login by when it expires only.
const bob = loginOf('bob', { issuedAt: Date.now() - 60_000 });
const MAIN = 'agent:main:main';

/** Alice (a) and bob (b) are stored; alice is in main's slot. */
async function bench(t: Test, port?: number, it: Machine = machine(t)) {
  const state = makeState(it.box.stateDir, {
    release: '2026.5.7',
    slot: alice,
    sessions: { [MAIN]: { ...PIN } },
    agents: [{ id: 'ops', slot: bob }],
    ...(port !== undefined && { port }),
  });
  await it.add('a', alice);
  await it.add('b', bob);
  return { it, state };
}

t.test('status says whether the running gateway has taken the slot, and makes it do nothing', async (t) => {
  const it = machine(t);
  const place = { release: '2026.5.7', stateDir: it.box.stateDir, provider: PROVIDER, profileId: SLOT };
  const gateway = await startGatewayStandIn(t, place);
  const { state } = await bench(t, gateway.port, it);
  const { run } = it;
  const files = [state.paths().profiles, state.paths().state, state.paths().sessions];
  const before = files.map((file) => readFileSync(file, 'utf8'));
  gateway.holds = alice.expires;
  t.match((await run(['status', '--json'])).json.slots, [
    { agent: 'main', occupant: { alias: 'a' }, gateway: { taken: 'yes' } },
    { agent: 'ops', occupant: { alias: 'b' }, gateway: { taken: 'unknown', why: /main agent's store/ } },
  ]);
  gateway.holds = bob.expires;
  t.match((await run(['status', '--json'])).json.slots[0].gateway, { taken: /^no$/, holds: { alias: 'b' } });
  t.match(
    (await run(['status'])).stdout,
    /^ +the running gateway has not taken it: it still holds b \(bob@/m,
  );
  t.strictSame([...new Set(gateway.asked.map(({ method }) => method))], ['connect', 'models.authStatus']);
  t.strictSame(
    files.map((file) => readFileSync(file, 'utf8')),
    before,
  );
});

t.test('status shows host, session, pin and key on 80 columns', async (t) => {
  const { it } = await bench(t);
  const { json } = await it.run(['status', '--json']);
  t.match(json, {
    session: { agent: 'main', key: MAIN, pinnedTo: SLOT, pinnedBy: 'person', isSlot: true },
    trouble: null,
    slots: [{ gateway: { taken: 'no-gateway' } }, {}],
    vault: { exists: true, keys: [{ kind: 'file', primary: true, where: /^\/.*\.key$/ }] },
  });
  const shown = await it.run(['status'], { tty: [] });
  const lines = withoutEscapes(shown.stdout).trimEnd().split('\n');
  for (const line of lines) t.ok(line.length <= 80, line);
  t.match(lines.join('\n'), /^session {3}agent:main:main: the most recently active chat$/m);
  t.match(lines.join('\n'), /^ {10}pinned to the slot, as a person chose$/m);
  t.match(lines.join('\n'), /^ {10}no gateway runs: the next one to start reads it$/m);
  t.match(lines.join('\n'), /^key {7}file:$/m);
  t.notMatch(shown.stdout, /in its place/, 'there is no other login in its store');
  const explained = await it.run(['explain'], { tty: [] });
  for (const line of withoutEscapes(explained.stdout).split('\n')) t.ok(line.length <= 80, line);
});

t.test(
  'a damaged index, a broken store, a host that is not understood: told, and the rest too',
  async (t) => {
    const { it, state } = await bench(t);
    t.equal((await it.run(['use', 'a'])).code, 0);
    const torn = (file: string) => writeFileSync(file, '{ torn', { mode: 0o600 });
    const { profiles } = state.paths('ops');
    torn(profiles);
    t.match((await it.run(['status', '--json'])).json.slots, [
      { agent: 'main', occupant: { alias: 'a' } },
      { agent: 'ops', occupant: null, problem: /cannot understand|parsed/ },
    ]);
    writeJson(profiles, { version: 1, profiles: { [SLOT]: profileOf(bob, '2026.5.7') } });
    const index = readFileSync(path.join(it.box.routerHome, 'index.json'));
    torn(path.join(it.box.routerHome, 'index.json'));
    const { json, code } = await it.run(['status', '--json']);
    t.not(code, 0, 'to a program that is no answer');
    t.match(json, {
      identities: null,
      slots: [{ occupant: { email: alice.email }, stored: false }, {}],
      session: { key: MAIN },
      vault: { exists: null },
    });
    t.equal(json.notes.filter(({ code }: { code: string }) => code === 'VAULT_DAMAGED').length, 1);
    t.notMatch((await it.run(['status'])).stdout, /not stored here/, 'who is stored is not known');
    writeFileSync(path.join(it.box.routerHome, 'index.json'), index, { mode: 0o600 });
    torn(state.configPath);
    const lost = await it.run(['status', '--json']);
    t.match(lost, { code: 0, json: { host: null, trouble: { code: 'HOST_UNREADABLE' }, slots: NONE } });
    t.match((await it.run(['status'])).stdout, /^host {6}not understood: /m);
  },
);
