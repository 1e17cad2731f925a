import { renameSync } from 'node:fs';
import t from 'tap';
import { startBackend } from '../kit/backend.js';
import { nativeState } from '../kit/native.js';
import { outputOf } from '../kit/process.js';
import { real, type Tester } from '../kit/real.js';
import { everyReleaseAsked, type Release, releasesToRun } from '../kit/releases.js';
import { type JsonDocument, leaksOf, router, sandbox } from '../kit/router.js';

type Fields = Record<string, unknown>;

/** One release of each layout. */
// One of each kind of store stands for the others where time is short.
const LAYOUTS: readonly Release[] = everyReleaseAsked
  ? ['2026.3.28', '2026.5.7', '2026.7.35', '2026.9.6']
  : ['2026.5.7', '2026.9.6'];

/** A state of two logins that the release itself made, two agents, and the backend that its turns reach. */
async function host(t: Tester, release: Release) {
  const box = sandbox(t);
  box.env.CODEX_ROUTER_KEY = 'file';
  const backend = await startBackend(t);
  const state = await nativeState(t, box, release, { baseUrl: backend.baseUrl });
  if (state === null) return null;
  const node = (state.traits.layout.startsWith('sqlite') && real(t, 'node24')?.node24) || process.execPath;
  const { claw, traits } = state;
  return {
    box,
    state,
    run: async (...args: string[]): Promise<JsonDocument> =>
      (await router(box, [...args, '--json'], { node })).json,
    /** OpenClaw's own list of its logins of the provider: id and e-mail. */
    listed: async (): Promise<Record<string, unknown>> => {
      if (traits.authList) {
        const { profiles } = await claw.json(['models', 'auth', 'list', '--json']);
        const ours = profiles.filter((one: Fields) => one.provider === traits.provider);
        return Object.fromEntries(ours.map((one: Fields) => [one.id, one.email]));
      }
      const { auth } = await claw.json(['models', 'status', '--json']);
      return Object.fromEntries(
        auth.oauth.profiles.flatMap((one: Fields) =>
          one.status === 'ok' ? [[one.profileId, /\((.*)\)$/.exec(String(one.label))?.[1]]] : [],
        ),
      );
    },
    /** The bearer of one turn that OpenClaw makes by itself. */
    turn: async (sessionId?: string): Promise<string | null | undefined> => {
      const result = await claw.localTurn(sessionId === undefined ? {} : { sessionId });
      if (result.code !== 0) throw new Error(`the turn failed\n${outputOf(result)}`);
      return backend.take()[0]?.bearer;
    },
  };
}

for (const release of LAYOUTS.filter((one) => releasesToRun().includes(one))) {
  t.test(
    `${release}: native, routed, switched and ejected: OpenClaw runs on each login without us`,
    async (t) => {
      const there = await host(t, release);
      if (there === null) return;
      const { box, state, run, listed, turn } = there;
      const { traits, claw, logins, neighbourId } = state;
      const { slot: alice, neighbour: carol } = logins;
      const ids = () => Object.keys(state.profiles()).filter((id) => id.startsWith(`${traits.provider}:`));
      t.strictSame(ids().sort(), [traits.slot, neighbourId].sort(), 'as the release made it');

      const taken = await run('import', '--from', 'openclaw', '--take', '--yes');
      t.match(taken, {
        result: 'routed',
        imported: [{ result: 'added' }, { result: 'added' }],
        routing: {
          stores: [{ stays: { identity: { userId: alice.userId } }, goes: [{ profileId: neighbourId }] }],
        },
      });
      t.strictSame(ids(), [traits.slot], 'one slot is left');
      const pins = Object.values(state.sessions()).flatMap((entry) => entry.authProfileOverride ?? []);
      t.strictSame([...new Set(pins)], [traits.slot], 'and no pin is to anything else');
      t.match(await run('import', '--from', 'openclaw', '--take', '--yes'), { result: 'already-routed' });
      t.match(await run('use', `${carol.accountId}/${carol.userId}`), { result: 'switched' });

      const ejected = await run('eject', '--yes');
      const aliceId = `${traits.provider}:${alice.email}`;
      t.match(ejected, { result: 'ejected', added: [{ profileId: aliceId }], left: [], disowned: true });
      t.match(state.selection(), { order: { [traits.provider]: [traits.slot, aliceId] } });
      t.match(await run('doctor'), { inDanger: false });
      t.strictSame(leaksOf(box), []);

      renameSync(box.routerHome, `${box.routerHome}-away`);
      t.strictSame(await listed(), { [traits.slot]: carol.email, [aliceId]: alice.email });
      t.equal(await turn(), carol.access, 'the pinned chat runs on the slot');
      const chosen = await claw.run([
        'models',
        'auth',
        'order',
        'set',
        '--provider',
        traits.provider,
        aliceId,
      ]);
      t.equal(chosen.code, 0, chosen.stderr);
      t.equal(
        await turn('00000000-0000-4000-8000-0000000000ff'),
        alice.access,
        'a new one where it is told to',
      );
      t.strictSame(state.integrity(), []);
    },
  );
}
