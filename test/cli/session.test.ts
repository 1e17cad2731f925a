import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { NONE } from '../kit/none.js';
import { makeState, RELEASES, SLOT } from '../kit/state.js';
import { loginOf } from '../kit/tokens.js';
import { machine } from './machine.js';

const alice = loginOf('alice');
const bob = loginOf('bob');
const carol = loginOf('carol');
const CHAT = 'agent:main:telegram:direct:1001';
const SLASH = 'agent:main:telegram:slash:1001';
const MAIN = 'agent:main:main';
const CAROL = 'openai-codex:carol';
const OWN = 'openai-codex:router-1';

/** Alice (a) and bob (b) are stored, alice is in the slot, bob in a slot of his own, carol beside them. */
async function bench(t: Test, release = RELEASES[1] ?? '2026.5.7') {
  const it = machine(t);
  const state = makeState(it.box.stateDir, { release, slot: alice, others: { [OWN]: bob, [CAROL]: carol } });
  await it.add('a', alice);
  await it.add('b', bob);
  const used = await it.run(['use', 'a', '--no-session', '--json']);
  if (used.code !== 0) throw new Error(used.stdout);
  const pins = () =>
    Object.fromEntries(
      Object.entries(state.sessions()).flatMap(
        ([key, { authProfileOverride: pin, authProfileOverrideSource: by }]) =>
          pin === undefined && by === undefined ? [] : [[key, `${pin} ${by}`]],
      ),
    );
  return { it, state, pins };
}

/** Every file below a folder, as it is. */
function filesIn(folder: string): Record<string, string> {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((one) => one.isFile());
  return Object.fromEntries(
    names.map(({ parentPath, name }) => {
      const file = path.join(parentPath, name);
      return [file, readFileSync(file, 'latin1')];
    }),
  );
}

for (const release of RELEASES) {
  t.test(
    `${release}: one session is shown, set, moved and cleared, and the store keeps all else`,
    async (t) => {
      const { it, state, pins } = await bench(t, release);
      const before = state.sessions();
      const set = await it.run(['session', 'set', CHAT, '--to', 'b', '--json']);
      t.match(set.json, {
        ok: true,
        result: 'set',
        agent: 'main',
        key: CHAT,
        to: { profileId: OWN, place: 'own-slot', identity: { alias: 'b' }, stored: true },
        pins: [
          { key: CHAT, was: null, is: OWN, result: 'set' },
          { key: SLASH, was: null, is: OWN, result: 'set' },
        ],
      });
      t.strictSame(pins(), { [CHAT]: `${OWN} user`, [SLASH]: `${OWN} user` });
      t.match((await it.run(['session', 'show', 'telegram:direct:1001', '--json'])).json, {
        session: {
          key: CHAT,
          pinnedTo: OWN,
          pinnedBy: 'person',
          place: 'own-slot',
          identity: { alias: 'b' },
          stored: true,
        },
        companions: [{ key: SLASH, pinnedTo: OWN }],
        turn: 'none',
        notes: NONE,
      });
      t.match((await it.run(['session', 'set', CHAT, '--to', CAROL, '--json'])).json, {
        result: 'set',
        to: { place: 'neighbour', identity: { email: carol.email, alias: null }, stored: false },
        // That release drops a pin to what its order does not name.
        notes: [...(release === '2026.3.28' ? [{ code: 'PIN_UNORDERED' }] : []), { code: 'OWN_SLOT_UNUSED' }],
      });
      t.match((await it.run(['session', 'set', CHAT, '--json'])).json, {
        to: { profileId: SLOT, place: 'slot' },
      });
      t.match((await it.run(['session', 'clear', CHAT, '--json'])).json, {
        result: 'cleared',
        to: null,
        pins: [{ key: CHAT, was: SLOT, is: null, result: 'set' }, { key: SLASH }],
      });
      t.strictSame(state.sessions(), before, 'as it was, to the last field');
      t.match((await it.run(['session', 'clear', CHAT, '--json'])).json, { result: 'unchanged' });
      t.match(state.slot(), { access: alice.access }, 'no login was moved');
    },
  );
}

t.test('a dry run and a look change no byte, of OpenClaw or of codex-router', async (t) => {
  const { it } = await bench(t);
  const home = path.join(it.box.root);
  const before = filesIn(home);
  t.match((await it.run(['session', 'set', CHAT, '--to', 'b', '--dry-run', '--json'])).json, {
    result: 'planned',
  });
  t.match((await it.run(['session', 'clear', MAIN, '--dry-run'])).stdout, /stays pinned to nothing/);
  const shown = await it.run(['session', 'show', CHAT]);
  t.match(shown.stdout, /^ {2}pinned {4}to nothing: it follows the order$/m);
  t.match(shown.stdout, /^ {2}login {5}a \(alice@example\.test, plus, account a1111111\)$/m);
  const after = filesIn(home);
  t.strictSame(
    Object.keys(after).filter((file) => after[file] !== before[file]),
    [],
  );
});

t.test('undo and a sync leave what was chosen', async (t) => {
  const { it, pins } = await bench(t);
  await it.add('c', carol);
  t.equal((await it.run(['use', 'c', '--session', CHAT])).code, 0);
  t.match((await it.run(['session', 'set', CHAT, '--to', OWN, '--json'])).json, { result: 'set' });
  t.equal((await it.run(['undo'])).code, 0);
  t.equal((await it.run(['sync'])).code, 0);
  t.strictSame(pins(), { [CHAT]: `${OWN} user`, [SLASH]: `${OWN} user` });
  t.match((await it.run(['history', '--json'])).json, { damagedLines: 0 });
});

t.test('what cannot be done is one sentence with a code and the next command', async (t) => {
  const { it, pins } = await bench(t);
  await it.add('c', loginOf('bob-team', { nonce: 'parked' }));
  const said = async (...args: string[]) => {
    const { code, stderr } = await it.run(['session', ...args]);
    return `${code} ${stderr}`;
  };
  t.match(
    await said('set', CHAT, '--to', 'c'),
    /^6 codex-router: c is parked.*\(IDENTITY_PARKED\)\nhint: codex-router use c /,
  );
  t.match(
    await said('show', 'agent:main:telegram:direct:9'),
    /^3 .*\(SESSION_NOT_FOUND\)\nhint: did you mean /,
  );
  t.match(await said('set'), /^2 /);
  t.strictSame(pins(), {});
});

t.test('an agent may look at a session, and not pin it', async (t) => {
  const { it, pins } = await bench(t);
  const env = { OPENCLAW_SHELL: 'exec' };
  t.equal((await it.run(['session', 'show', CHAT], { env })).code, 0);
  t.equal((await it.run(['session', 'set', CHAT, '--dry-run'], { env })).code, 0);
  for (const verb of ['set', 'clear']) {
    t.match((await it.run(['session', verb, CHAT, '--json'], { env })).json.error, { code: 'AGENT_REFUSED' });
  }
  t.strictSame(pins(), {});
  t.ok(existsSync(it.box.stateDir));
});
