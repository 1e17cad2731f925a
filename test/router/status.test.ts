import t from 'tap';
import { RouterError } from '../../src/errors.js';
import { askingOnce } from '../../src/router/held.js';
import { status } from '../../src/router/status.js';
import type { GatewayHolds, Host } from '../../src/slot/host.js';
import type { Slot } from '../../src/slot/slot.js';
import { fakeHost } from '../contract/fake-host.js';
import { fakeSlot } from '../contract/fake-slot.js';
import { NONE } from '../kit/none.js';
import { DAY } from '../kit/tokens.js';
import { login, NOW, SLOT, vault } from './vaults.js';

const [alice, bob, carol] = [login('alice'), login('bob', 'one', NOW - 2 * DAY), login('carol')];
const MAIN = 'agent:main:main';

/** Alice and bob are stored; alice is in main's slot, carol in that of agent ops. */
async function bench(holds: (slot: Slot) => Promise<GatewayHolds>) {
  const router = vault();
  await router.store(alice, bob);
  const [main, ops] = [fakeSlot(), fakeSlot({ agent: 'ops' })];
  main.hostPuts(SLOT, alice);
  ops.hostPuts(SLOT, carol);
  const asked: (number | undefined)[] = [];
  const host: Host = {
    ...fakeHost({ slots: [main, ops], sessions: [{ key: MAIN, pinnedTo: SLOT, pinSource: 'auto' }] }),
    held: async (slot, _expiresAt, withinMs) => {
      asked.push(withinMs);
      return holds(slot);
    },
  };
  const look = (other: Partial<Host> = {}, repo = router.repo) =>
    status(repo, async () => ({ ...host, ...other }), router.journal, {});
  return { router, main, ops, asked, look };
}

const holding = (expiresAt: number | null): GatewayHolds => ({ kind: 'holds', expiresAt, askedAt: null });

t.test('each slot says whether the running gateway has taken it, and whom it still holds', async (t) => {
  let held: GatewayHolds = holding(alice.grant.expiresAt);
  const it = await bench(async (slot) =>
    slot.address.agent === 'main' ? held : { kind: 'unknown', why: 'it tells of main only' },
  );
  const gateway = async () => (await it.look()).slots[0]?.gateway;
  t.match((await it.look()).slots, [
    { occupant: alice.identity, gateway: { taken: 'yes', holds: null, why: null } },
    { occupant: carol.identity, gateway: { taken: 'unknown', why: 'it tells of main only' } },
  ]);
  held = holding(bob.grant.expiresAt);
  t.match(await gateway(), { taken: /^no$/, holds: bob.identity });
  held = holding(7);
  t.match(await gateway(), { taken: /^no$/, holds: null, why: null });
  held = holding(null);
  t.match(await gateway(), { taken: /^no$/, why: 'it has no login there' });
  held = { kind: 'no-gateway' };
  t.match(await gateway(), { taken: 'no-gateway' });
  it.main.hostPuts(SLOT, { what: 'an API key' });
  t.equal(await gateway(), null, 'no login, no question');
  t.ok(
    it.asked.every((ms) => ms === 5000),
    'no question takes longer than a look may',
  );
  const { repo, journal } = it.router;
  const silent = await status(repo, async () => fakeHost({ slots: [it.ops] }), journal, {});
  t.match(silent.slots, [
    { gateway: { taken: 'unknown', why: 'this host has nothing that could be asked' } },
  ]);
});

t.test('the gateway is asked about all slots at once', async (t) => {
  let waiting = 0;
  let release: () => void = () => undefined;
  const both = new Promise<void>((done) => {
    release = done;
  });
  const it = await bench(async () => {
    waiting += 1;
    if (waiting === 2) release();
    await both;
    return { kind: 'no-gateway' };
  });
  t.equal((await it.look()).slots.length, 2);
});

t.test('what pins the current session is told, with its companions', async (t) => {
  const it = await bench(async () => ({ kind: 'no-gateway' }));
  t.match((await it.look()).session, {
    agent: 'main',
    key: MAIN,
    why: 'the most recently active chat',
    pinnedTo: SLOT,
    pinnedBy: 'host',
    isSlot: true,
    companions: NONE,
  });
  const [chat, slash] = ['agent:main:telegram:direct:1001', 'agent:main:telegram:slash:1001'];
  const other = fakeHost({
    slots: [it.main],
    sessions: [
      { key: chat, pinnedTo: 'openai-codex:gone', pinSource: null, updatedAt: 9 },
      { key: slash, channel: 'telegram', from: 'telegram:1001', pinnedTo: SLOT },
    ],
  });
  t.match((await it.look({ pinsOf: other.pinsOf })).session, {
    key: chat,
    pinnedBy: 'person',
    isSlot: false,
    companions: [{ key: slash, pinnedTo: SLOT }],
  });
  const none = fakeHost({ slots: [it.main] });
  t.match((await it.look({ pinsOf: none.pinsOf })).session, { key: null, pinnedBy: null, isSlot: null });
});

t.test('what cannot be read is told, and the rest all the same', async (t) => {
  const it = await bench(async () => ({ kind: 'no-gateway' }));
  const broken = (code: 'SLOT_UNREADABLE' | 'HOST_UNREADABLE' | 'VAULT_DAMAGED') => () =>
    Promise.reject(new RouterError(code, 'it is torn', { hint: 'mend it' }));
  const ops = { ...it.ops, read: broken('SLOT_UNREADABLE') };
  t.match((await it.look({ allSlots: async () => [it.main, ops] })).slots, [
    { occupant: alice.identity },
    { occupant: null, problem: 'it is torn', gateway: null },
  ]);
  const pins = fakeHost({ slots: [it.main] }).pinsOf('main');
  const unread = await it.look({ pinsOf: () => ({ ...pins, read: broken('HOST_UNREADABLE') }) });
  t.match(unread, { session: null, slots: [{}, {}], notes: [{ code: 'HOST_UNREADABLE' }] });
  const damaged = { ...it.router.repo, list: broken('VAULT_DAMAGED') };
  t.match(await it.look({}, damaged), {
    identities: null,
    slots: [{ occupant: alice.identity, entry: null }, {}],
    session: { key: MAIN },
    notes: [{ code: 'VAULT_DAMAGED', text: 'it is torn: mend it' }],
  });
  const { repo, journal } = it.router;
  t.match(await status(repo, broken('HOST_UNREADABLE'), journal, {}), {
    host: null,
    trouble: { code: 'HOST_UNREADABLE' },
    slots: NONE,
    identities: 2,
  });
});

t.test(
  'in one look a gateway is asked once about a slot, unless it did not tell; after it, anew',
  async (t) => {
    const answers: GatewayHolds[] = [
      { kind: 'unknown', why: 'it is busy' },
      holding(1),
      holding(2),
      { kind: 'no-gateway' },
    ];
    const [main, ops] = [fakeSlot(), fakeSlot({ agent: 'ops' })];
    const real: Host = {
      ...fakeHost({ slots: [main, ops] }),
      held: async () => answers.shift() ?? { kind: 'unknown', why: 'it was asked too often' },
    };
    const host = await askingOnce(real, async (asked) => {
      t.match(await asked.held?.(main, 1), { why: 'it is busy' });
      t.strictSame(await asked.held?.(main, 1), holding(1));
      t.strictSame(await asked.held?.(main, 1), holding(1));
      t.strictSame(await asked.held?.(ops, 1), holding(2), 'another slot is another question');
      return asked;
    });
    t.strictSame(await host.held?.(main, 1), { kind: 'no-gateway' });
    t.strictSame(answers, []);
  },
);
