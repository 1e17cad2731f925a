import fc from 'fast-check';
import type { Test } from 'tap';
import { identityOf } from '../../src/claims.js';
import { RouterError } from '../../src/errors.js';
import type { Holding } from '../../src/holding.js';
import type { JsonObject } from '../../src/json.js';
import { Secret } from '../../src/secret.js';
import type { Occupant, Slot } from '../../src/slot/slot.js';
import { CANARY, type Login, loginOf } from '../kit/tokens.js';

/** A slot and the host's own hand on its store. */
export interface SlotBench {
  readonly slot: Slot;
  /** `untold` is a login whose access token is opaque. */
  hostPuts(profileId: string, entry: Holding | 'api-key' | 'untold' | null): Promise<void> | void;
  hostOrders(order: readonly string[], lastGood: string | null): Promise<void> | void;
  /** The own slot of that number in the same store. */
  own(n: number): Promise<Slot> | Slot;
}

/** A new, empty bench; the store does not exist yet. */
export type MakeSlot = (t: Test) => Promise<SlotBench> | SlotBench;

const UNTOLD = /^a login whose owner cannot be told \(.+\)$/;
/** Long after any test runs: a cooldown that is still in force. */
const LATER = 4_102_444_800_000;

export function holdingOf(
  login: Login,
  more: Partial<Pick<Holding, 'hostFields' | 'selection'>> = {},
): Holding {
  const accessToken = new Secret(login.access);
  return {
    identity: identityOf(accessToken, { accountId: login.accountId, email: login.email, plan: login.plan }),
    grant: {
      accessToken,
      refreshToken: new Secret(login.refresh),
      idToken: null,
      expiresAt: login.expires,
      lastRefresh: null,
      provenance: null,
    },
    hostFields: more.hostFields ?? {},
    selection: more.selection ?? null,
  };
}

/** A holding as plain data with its tokens shown, for comparison. */
export function shown(holding: Occupant | Holding): unknown {
  if ('kind' in holding && holding.kind !== 'login') return holding;
  const { identity, grant, hostFields, selection } = holding;
  return {
    identity,
    access: grant.accessToken.reveal(),
    refresh: grant.refreshToken.reveal(),
    expiresAt: grant.expiresAt,
    hostFields,
    selection,
  };
}

/** What a host does to what it is given. */
export interface SlotLimits {
  /** It drops a field of an entry that it does not know (an SDK of OpenClaw, from 6.5 on). */
  readonly knownFieldsOnly?: boolean;
  /** The release keeps its agents on one set of logins, so that there are no own slots. */
  readonly tied?: boolean;
  /** How often the random inputs are tried; default 20. */
  readonly runs?: number;
}

/** What the port Slot promises, whatever the layout. */
export function slotPromises(
  t: Test,
  make: MakeSlot,
  provider = 'openai-codex',
  { knownFieldsOnly = false, runs = 20, tied = false }: SlotLimits = {},
): void {
  const BOB = `${provider}:bob@example.test`;
  const CAROL = `${provider}:carol@example.test`;
  const alice = holdingOf(loginOf('alice'));
  const bob = holdingOf(loginOf('bob'));
  const carol = holdingOf(loginOf('carol'));

  t.test('reads a store that does not exist as absent, and puts a login into it', async (t) => {
    const { slot } = await make(t);
    const reading = await slot.read();
    t.same(reading.occupant, { kind: 'absent' });
    t.same(reading.neighbours, []);
    t.equal(reading.selectable, false);
    const after = await slot.replace({ expect: reading.revision, put: alice, takeOut: [] });
    t.same(shown(after.occupant), shown(alice));
    t.equal(after.selectable, true);
    t.same(shown((await slot.read()).occupant), shown(alice), 'and it stays there');
  });

  t.test('replaces a login by another, whose host fields and running cooldown come with it', async (t) => {
    const { slot } = await make(t);
    const cooling = { cooldownUntil: LATER, cooldownReason: 'rate_limit', errorCount: 3, lastUsed: 5 };
    const arriving = holdingOf(loginOf('bob'), {
      hostFields: { clientId: 'app_x', ...(knownFieldsOnly ? {} : { nested: { a: [1, null, 'é'] } }) },
      selection: cooling,
    });
    await put(slot, alice);
    const after = await put(slot, arriving);
    t.same(shown(after.occupant), shown(arriving));
    const again = await put(slot, carol);
    t.same(shown(again.occupant), shown(carol), 'and nothing of it stays with the next one');
  });

  t.test('gives back whatever it was given', async (t) => {
    const { slot } = await make(t);
    const field = fc.string({ minLength: 1, maxLength: 12 }).map((name) => `x-${name}`);
    const value = fc
      .jsonValue({ maxDepth: 2 })
      .map((json): JsonObject[string] => JSON.parse(JSON.stringify(json)));
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('alice', 'bob', 'carol', 'alice-team', 'bob-team'),
        knownFieldsOnly
          ? fc.record(
              { clientId: fc.string({ minLength: 1, maxLength: 12 }).map((id) => `app_${id}_`) },
              { noNullPrototype: true },
            )
          : fc.dictionary(field, value, { maxKeys: 4, noNullPrototype: true }),
        async (name, hostFields) => {
          const holding = holdingOf(loginOf(name), { hostFields });
          const after = await put(slot, holding);
          t.strictSame(shown(after.occupant), shown(holding));
        },
      ),
      { numRuns: runs },
    );
  });

  t.test('refuses to replace a slot the host has changed, and writes nothing', async (t) => {
    const bench = await make(t);
    await put(bench.slot, alice);
    const { revision } = await bench.slot.read();
    const rotated = holdingOf(loginOf('alice', { nonce: 'rotated' }));
    await bench.hostPuts(bench.slot.address.profileId, rotated);
    for (const change of [bob, null, 'keep'] as const) {
      await t.rejects(bench.slot.replace({ expect: revision, put: change, takeOut: [] }), {
        code: 'SLOT_CHANGED',
      });
    }
    t.same(shown((await bench.slot.read()).occupant), shown(rotated));
  });

  t.test('refuses when another login of the provider came, changed or went meanwhile', async (t) => {
    const bench = await make(t);
    await put(bench.slot, alice);
    for (const next of [bob, holdingOf(loginOf('bob', { nonce: 'rotated' })), null]) {
      const { revision } = await bench.slot.read();
      await bench.hostPuts(BOB, next);
      await t.rejects(bench.slot.replace({ expect: revision, put: carol, takeOut: [] }), {
        code: 'SLOT_CHANGED',
      });
    }
    t.same(shown((await bench.slot.read()).occupant), shown(alice));
  });

  t.test('does not mind that the host changed its order, which it does with every turn', async (t) => {
    const bench = await make(t);
    await put(bench.slot, alice);
    await bench.hostPuts(BOB, bob);
    const { revision } = await bench.slot.read();
    await bench.hostOrders([BOB, bench.slot.address.profileId], BOB);
    const after = await bench.slot.replace({ expect: revision, put: carol, takeOut: [] });
    t.same(shown(after.occupant), shown(carol));
    t.equal(after.selectable, true);
  });

  t.test('shows the other logins of the provider and takes out those it is told to', async (t) => {
    const bench = await make(t);
    await put(bench.slot, alice);
    await bench.hostPuts(BOB, bob);
    await bench.hostPuts(CAROL, carol);
    const reading = await bench.slot.read();
    t.same(
      reading.neighbours.map(({ profileId }) => profileId),
      [BOB, CAROL],
    );
    const after = await bench.slot.replace({ expect: reading.revision, put: bob, takeOut: [BOB] });
    t.same(shown(after.occupant), shown(bob));
    t.same(
      after.neighbours.map((neighbour) => [neighbour.profileId, shown(neighbour)]),
      [[CAROL, shown(carol)]],
    );
  });

  t.test('puts logins beside the slot, which stays first in an order that names them all', async (t) => {
    const bench = await make(t);
    const cooling = { cooldownUntil: LATER, cooldownReason: 'rate_limit', errorCount: 3 };
    await bench.hostPuts(BOB, bob);
    await put(bench.slot, alice);
    const { revision } = await bench.slot.read();
    const arriving = holdingOf(loginOf('carol'), { hostFields: { clientId: 'app_x' }, selection: cooling });
    const beside = [{ profileId: CAROL, holding: arriving }];
    const after = await bench.slot.replace({ expect: revision, put: 'keep', takeOut: [], beside });
    t.same(shown(after.occupant), shown(alice));
    t.same(
      after.neighbours.map((neighbour) => [neighbour.profileId, shown(neighbour)]),
      [
        [BOB, shown(bob)],
        [CAROL, shown(arriving)],
      ],
    );
    t.same(after.named, [bench.slot.address.profileId, CAROL, BOB]);
    t.same((await bench.slot.read()).named, after.named, 'and it stays so');
    const again = await bench.slot.replace({ expect: after.revision, put: 'keep', takeOut: [CAROL, BOB] });
    t.same(again.neighbours, []);
    t.equal(again.selectable, true);
  });

  t.test('puts logins beside an empty slot, and its order names no profile that is not there', async (t) => {
    const bench = await make(t);
    await bench.hostPuts(BOB, bob);
    await bench.hostOrders([BOB], BOB);
    const { revision } = await bench.slot.read();
    const beside = [{ profileId: CAROL, holding: carol }];
    const after = await bench.slot.replace({ expect: revision, put: 'keep', takeOut: [], beside });
    t.same(after.occupant, { kind: 'absent' });
    t.same(after.named, [CAROL, BOB]);
  });

  t.test('opens its order to every login of the store when nothing is to be added', async (t) => {
    const bench = await make(t);
    await put(bench.slot, alice);
    await bench.hostPuts(BOB, bob);
    const { revision } = await bench.slot.read();
    const after = await bench.slot.replace({ expect: revision, put: 'keep', takeOut: [], beside: [] });
    t.same(after.named, [bench.slot.address.profileId, BOB]);
    t.equal(after.revision, revision);
  });

  t.test('names nobody beside the slot whom a person left out, nor what is theirs alone', async (t) => {
    const bench = await make(t);
    const personal = `personal:${CAROL}`;
    await put(bench.slot, alice);
    await bench.hostPuts(BOB, bob);
    await bench.hostPuts(personal, carol);
    const own = bench.slot.address.profileId;
    const open = { put: 'keep', takeOut: [], beside: [] } as const;
    const opened = await bench.slot.replace({ ...open, expect: (await bench.slot.read()).revision });
    t.same(opened.named, [own, BOB]);
    await bench.hostPuts(CAROL, carol);
    const again = await bench.slot.replace({ ...open, expect: (await bench.slot.read()).revision });
    t.same(again.named, [own, BOB], 'the order was theirs by then');
  });

  t.test('never puts a login over an entry that is there, whatever it is', async (t) => {
    for (const taken of [bob, 'api-key'] as const) {
      const bench = await make(t);
      await put(bench.slot, alice);
      await bench.hostPuts(BOB, taken);
      const before = await bench.slot.read();
      for (const profileId of [BOB, bench.slot.address.profileId]) {
        const beside = [{ profileId, holding: carol }];
        const change = { expect: before.revision, put: 'keep', takeOut: [], beside } as const;
        await t.rejects(bench.slot.replace(change), { code: 'SLOT_CHANGED' });
      }
      t.equal((await bench.slot.read()).revision, before.revision);
    }
  });

  t.test('keeps the entry and mends only what makes it selectable', async (t) => {
    const bench = await make(t);
    await put(bench.slot, alice);
    await bench.hostOrders([BOB], BOB);
    const before = await bench.slot.read();
    t.equal(before.selectable, false);
    const after = await bench.slot.replace({ expect: before.revision, put: 'keep', takeOut: [] });
    t.equal(after.selectable, true);
    t.equal(after.revision, before.revision);
    t.same(shown(after.occupant), shown(alice));
  });

  t.test('puts a choice back as it once was, and leaves every login', async (t) => {
    const bench = await make(t);
    const own = bench.slot.address.profileId;
    await put(bench.slot, alice);
    await bench.hostPuts(BOB, bob);
    await bench.hostOrders([BOB, own], BOB);
    const { revision, order, lastGood } = await bench.slot.read();
    t.same([order, lastGood], [[BOB, own], BOB]);
    const mended = await bench.slot.replace({ expect: revision, put: 'keep', takeOut: [] });
    t.same([mended.order, mended.lastGood, mended.selectable], [[own], own, true]);
    const back = { expect: revision, put: 'keep', takeOut: [], choose: { order, lastGood } } as const;
    const after = await bench.slot.replace(back);
    t.same([after.order, after.lastGood, after.selectable], [order, lastGood, false]);
    t.equal(after.revision, revision);
    const none = { ...back, choose: { order: null, lastGood: null } };
    t.match(await bench.slot.replace(none), { order: null, lastGood: null });
    t.match(await bench.slot.read(), { order: null, lastGood: null, named: [] }, 'and it stays so');
  });

  t.test('clears the slot and leaves the other logins to the host', async (t) => {
    const bench = await make(t);
    await put(bench.slot, alice);
    await bench.hostPuts(BOB, bob);
    const { revision } = await bench.slot.read();
    const after = await bench.slot.replace({ expect: revision, put: null, takeOut: [] });
    t.same(after.occupant, { kind: 'absent' });
    t.same(
      after.neighbours.map(({ profileId }) => profileId),
      [BOB],
    );
    t.equal(after.selectable, false);
  });

  t.test('tells an API key as foreign, in the slot and beside it', async (t) => {
    const bench = await make(t);
    await bench.hostPuts(bench.slot.address.profileId, 'api-key');
    await bench.hostPuts(BOB, 'api-key');
    const { occupant, neighbours } = await bench.slot.read();
    t.match(occupant, { kind: 'foreign', what: /API key/ });
    t.match(neighbours, [{ profileId: BOB, kind: 'foreign', what: /API key/ }]);
  });

  t.test('tells a login whose owner cannot be told as foreign, in the slot and beside it', async (t) => {
    const bench = await make(t);
    await bench.hostPuts(bench.slot.address.profileId, 'untold');
    await bench.hostPuts(BOB, 'untold');
    const { occupant, neighbours } = await bench.slot.read();
    t.match(occupant, { kind: 'foreign', what: UNTOLD });
    t.match(neighbours, [{ profileId: BOB, kind: 'foreign', what: UNTOLD }]);
    t.notMatch(JSON.stringify([occupant, neighbours]), CANARY);
    await bench.hostPuts(bench.slot.address.profileId, alice);
    t.match((await put(bench.slot, carol)).neighbours, [{ profileId: BOB, kind: 'foreign' }]);
  });

  if (tied) {
    t.test('gives no session a slot of its own, because the release would spread its login', async (t) => {
      const bench = await make(t);
      await t.rejects(async () => await bench.own(1), { code: 'HOST_UNSUPPORTED' });
    });
  } else {
    t.test('an own slot beside it holds another login, and nothing else of the store changes', async (t) => {
      const bench = await make(t);
      const { slot } = bench;
      await put(slot, alice);
      await bench.hostPuts(BOB, bob);
      const before = await slot.read();
      const own = await bench.own(1);
      const { profileId } = own.address;
      t.equal(profileId, `${provider}:router-1`);
      t.match(await own.read(), { occupant: { kind: 'absent' }, selectable: true });
      const arriving = holdingOf(loginOf('carol'), { selection: { lastUsed: 5 } });
      const after = await put(own, arriving);
      t.same(shown(after.occupant), shown(arriving));
      t.same(
        after.neighbours.map((one) => one.profileId).toSorted(),
        [BOB, slot.address.profileId].toSorted(),
      );
      const beside = await slot.read();
      t.same(shown(beside.occupant), shown(alice));
      t.strictSame(
        [beside.order, beside.lastGood, beside.selectable],
        [before.order, before.lastGood, before.selectable],
      );
      t.same(
        beside.neighbours.map((one) => [one.profileId, shown(one)]),
        [
          [BOB, shown(bob)],
          [profileId, shown(arriving)],
        ],
      );
      for (const change of [bob, null, 'keep'] as const) {
        const late = { expect: before.revision, put: change, takeOut: [] };
        await t.rejects(own.replace(late), { code: 'SLOT_CHANGED' });
      }
      t.same(shown((await put(own, bob)).occupant), shown(bob), 'another one takes its place');
      const { revision } = await own.read();
      t.same((await own.replace({ expect: revision, put: null, takeOut: [] })).occupant, { kind: 'absent' });
      const gone = await slot.read();
      t.strictSame(
        [gone.revision, gone.order, gone.lastGood],
        [before.revision, before.order, before.lastGood],
      );
    });

    t.test('an own slot is named by no order, whoever wrote that, and is opened to nobody', async (t) => {
      const bench = await make(t);
      const main = bench.slot.address.profileId;
      await put(bench.slot, alice);
      const own = await bench.own(2);
      await put(own, carol);
      const named = own.address.profileId;
      await bench.hostOrders([main, named], named);
      const { revision, selectable } = await own.read();
      t.equal(selectable, false);
      const after = await own.replace({ expect: revision, put: 'keep', takeOut: [] });
      t.match(after, { order: [main], lastGood: main, selectable: true });
      t.same(shown(after.occupant), shown(carol));
      const opened = { put: 'keep', takeOut: [], beside: [] } as const;
      const { named: ids } = await bench.slot.replace({ ...opened, expect: revision });
      t.same(ids, [main]);
    });
  }

  t.test('lets one of two switches that decided on the same reading win', async (t) => {
    const { slot } = await make(t);
    await put(slot, alice);
    const { revision } = await slot.read();
    const outcomes = await Promise.allSettled(
      [bob, carol].map((holding) => slot.replace({ expect: revision, put: holding, takeOut: [] })),
    );
    const failed = outcomes.filter((outcome) => outcome.status === 'rejected');
    t.equal(failed.length, 1);
    t.ok(failed[0]?.reason instanceof RouterError && failed[0].reason.code === 'SLOT_CHANGED');
    const winner = outcomes[0]?.status === 'fulfilled' ? bob : carol;
    t.same(shown((await slot.read()).occupant), shown(winner));
  });
}

async function put(slot: Slot, holding: Holding) {
  const { revision } = await slot.read();
  return await slot.replace({ expect: revision, put: holding, takeOut: [] });
}
