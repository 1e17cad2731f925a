import { existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import type { Holding } from '../../src/holding.js';
import { openSdk, type Sdk } from '../../src/openclaw/sdk.js';
import { sdkPins } from '../../src/openclaw/sdk-pins.js';
import { sdkSlot } from '../../src/openclaw/sdk-slot.js';
import { ownSlotAddress } from '../../src/slot/own-slot.js';
import { holdingOf, shown, slotPromises } from '../contract/slot.js';
import { type HostHand, hostHand } from '../kit/host-hand.js';
import { real } from '../kit/real.js';
import { type Release, traitsOf } from '../kit/releases.js';
import { PROJECT, sandbox } from '../kit/router.js';
import { integrityOf } from '../kit/sqlite.js';
import { writeJson } from '../kit/state.js';
import { databasesBelow } from '../kit/stores.js';
import { CANARY, loginOf } from '../kit/tokens.js';

type Fields = Record<string, unknown>;

interface Bench {
  readonly stateDir: string;
  readonly provider: string;
  readonly slotId: string;
  readonly sdk: Sdk;
  readonly hand: HostHand;
  agentDir(agent: string): string;
}

/** An empty state directory of a release, its SDK as codex-router uses it, and the release's own hand. */
function benchOf(t: Test, release: Release): Bench | null {
  const name = `openclaw-${release}` as const;
  const found: Record<string, string> | null = real(t, 'node24', name);
  if (found === null) return null;
  const { node24: node = '', [name]: entry = '' } = found;
  const box = sandbox(t);
  const { stateDir } = box;
  const configPath = path.join(stateDir, 'openclaw.json');
  mkdirSync(stateDir, { mode: 0o700 });
  writeJson(configPath, { gateway: { mode: 'local' }, agents: { list: [{ id: 'main', default: true }] } });
  const root = path.dirname(entry);
  const env = { PATH: box.env.PATH ?? '', HOME: box.home, TMPDIR: box.tmp, CODEX_HOME: box.codexHome };
  const childPath = path.join(PROJECT, 'dist', 'sdk-child.js');
  const sdk = openSdk({ packageRoot: root, node, env, stateDir, configPath, childPath, deadline: 60_000 });
  t.teardown(() => sdk.close());
  const { provider, slot } = traitsOf(release);
  return {
    stateDir,
    provider,
    slotId: slot,
    sdk,
    hand: hostHand(t, { node, root, env: { ...env, OPENCLAW_STATE_DIR: stateDir } }),
    agentDir: (agent) => path.join(stateDir, 'agents', agent, 'agent'),
  };
}

function slotIn({ stateDir, provider, slotId, sdk, agentDir }: Bench, agent: string | null, n?: number) {
  const main = { id: `${stateDir}#${agent}#x`, layout: 'sdk', agent: agent ?? 'main', profileId: slotId };
  const address = n === undefined ? main : ownSlotAddress(main, provider, n);
  return sdkSlot({
    address,
    shape: {
      provider,
      profileId: address.profileId,
      ...(n !== undefined && { isOwn: true }),
      path: stateDir,
      stateApart: true,
      planField: true,
      overMain: false,
    },
    sdk,
    agentDir: agent === null ? null : agentDir(agent),
    now: Date.now,
  });
}

function entryOf(holding: Holding | 'api-key' | 'untold' | null, provider: string): Fields | null {
  if (holding === null) return null;
  if (holding === 'api-key') return { type: 'api_key', provider, key: `sk-${CANARY}` };
  const login = { type: 'oauth', provider, refresh: `rt_${CANARY}`, expires: 4_102_444_800_000 };
  if (holding === 'untold') return { ...login, access: `opaque-${CANARY}` };
  const { identity, grant } = holding;
  return {
    ...login,
    access: grant.accessToken.reveal(),
    refresh: grant.refreshToken.reveal(),
    expires: grant.expiresAt,
    email: identity.email,
    accountId: identity.accountId,
    chatgptPlanType: identity.plan,
  };
}

function untouched(t: Test, { stateDir }: Bench): void {
  // The contract's many small stores are not looked into: each look starts a process.
  const files = databasesBelow(stateDir).filter((file) => !file.includes('/bench'));
  for (const file of files) t.strictSame(integrityOf(file), [], file);
}

const CHAT = 'agent:main:telegram:direct:1001';
const SLASH = 'agent:main:telegram:slash:1001';

for (const release of ['2026.5.28', '2026.7.35', '2026.9.6'] as const) {
  t.test(`the SDK of ${release}`, async (t) => {
    const bench = benchOf(t, release);
    if (bench === null) return;
    const { hand, provider, slotId, sdk, agentDir, stateDir } = bench;

    t.test(
      'reads and writes the store all agents share, and what it writes is what the release reads',
      async (t) => {
        const slot = slotIn(bench, null);
        const empty = await slot.read();
        t.same(empty.occupant, { kind: 'absent' });
        t.notOk(
          databasesBelow(stateDir).length > 0 ||
            existsSync(path.join(agentDir('main'), 'auth-profiles.json')),
          'a look makes no store',
        );
        const alice = holdingOf(loginOf('alice'), { hostFields: { clientId: 'app_x' } });
        const bob = holdingOf(loginOf('bob'));
        const first = await slot.replace({ expect: empty.revision, put: alice, takeOut: [] });
        t.match((await hand.store(null)).profiles[slotId], {
          ...entryOf(alice, provider),
          clientId: 'app_x',
        });
        const second = await slot.replace({ expect: first.revision, put: bob, takeOut: [] });
        t.same(shown(second.occupant), shown(bob));
        const stored = await hand.store(null);
        t.match(stored.profiles[slotId], entryOf(bob, provider) ?? {});
        t.match(stored, { order: { [provider]: [slotId] }, lastGood: { [provider]: slotId } });
        const cleared = await slot.replace({ expect: second.revision, put: null, takeOut: [] });
        t.same(cleared.occupant, { kind: 'absent' });
        t.same((await hand.store(null)).profiles, {});
        untouched(t, bench);
      },
    );

    t.test('keeps what it promises as a slot', async (t) => {
      let made = 0;
      const limits = { knownFieldsOnly: provider === 'openai', runs: 6 };
      slotPromises(
        t,
        () => {
          made += 1;
          const agent = `bench${made}`;
          const dir = agentDir(agent);
          return {
            slot: slotIn(bench, agent),
            own: (n) => slotIn(bench, agent, n),
            hostPuts: (id, entry) => hand.put(dir, id, entryOf(entry, provider)),
            hostOrders: (order, lastGood) => hand.order(dir, provider, order, lastGood),
          };
        },
        provider,
        limits,
      );
    });

    t.test("a look at an agent that has no store makes none, whatever main's holds", async (t) => {
      await hand.put(null, slotId, entryOf(holdingOf(loginOf('carol')), provider));
      t.same((await slotIn(bench, 'reader').read()).occupant, { kind: 'absent' });
      t.notOk(existsSync(agentDir('reader')));
      await hand.put(agentDir('reader'), slotId, entryOf(holdingOf(loginOf('bob')), provider));
      t.match((await slotIn(bench, 'reader').read()).occupant, {
        kind: 'login',
        identity: { email: 'bob@example.test' },
      });
    });

    t.test("refuses to call an agent switched when the release keeps main's login for it", async (t) => {
      const carol = holdingOf(loginOf('carol'));
      await hand.put(null, slotId, entryOf(carol, provider));
      const slot = slotIn(bench, 'same');
      const { revision } = await slot.read();
      await t.rejects(slot.replace({ expect: revision, put: carol, takeOut: [] }), {
        code: 'HOST_UNSUPPORTED',
        message: /agent same/,
      });
    });

    t.test(
      'points existing sessions at the slot, touches nothing else of them, and makes none',
      async (t) => {
        // A session untouched for a month would be cleared up by the release's next write.
        const entry = (id: number) => ({
          sessionId: `00000000-0000-4000-8000-00000000000${id}`,
          updatedAt: Date.now() - id * 60_000,
          channel: 'telegram',
          lastTo: 'telegram:1001',
          label: 'kept',
        });
        await hand.makeSession('main', CHAT, {
          ...entry(1),
          authProfileOverride: `${provider}:old`,
          authProfileOverrideSource: 'auto',
          authProfileOverrideCompactionCount: 3,
        });
        await hand.makeSession('main', SLASH, entry(2));
        const before = await hand.session('main', CHAT);
        const pins = sdkPins({ agent: 'main', sdk });
        const read = await pins.read();
        t.match(
          read.find(({ key }) => key === CHAT),
          { pinnedTo: `${provider}:old`, pinSource: 'auto', channel: 'telegram', to: 'telegram:1001' },
        );
        t.same(await pins.survey(CHAT), { entries: read, unread: 0 });
        t.same(await pins.set([CHAT, SLASH, 'agent:main:nobody'], slotId), [
          { key: CHAT, was: `${provider}:old`, is: slotId, result: 'set' },
          { key: SLASH, was: null, is: slotId, result: 'set' },
          { key: 'agent:main:nobody', was: null, is: null, result: 'gone' },
        ]);
        t.match(await pins.set([CHAT], slotId), [{ result: 'already', is: slotId }]);
        const { authProfileOverrideCompactionCount: _, ...kept } = before ?? {};
        t.strictSame(
          JSON.parse(JSON.stringify(await hand.session('main', CHAT))),
          JSON.parse(
            JSON.stringify({ ...kept, authProfileOverride: slotId, authProfileOverrideSource: 'user' }),
          ),
        );
        t.match(await pins.set([SLASH], null), [{ was: slotId, is: null, result: 'set' }]);
        const now = await pins.read();
        t.match(
          now.find(({ key }) => key === SLASH),
          { pinnedTo: null, pinSource: null },
        );
        t.equal(now.length, read.length);
        t.same(await sdkPins({ agent: 'nobody', sdk }).read(), []);
        untouched(t, bench);
      },
    );
  });
}
