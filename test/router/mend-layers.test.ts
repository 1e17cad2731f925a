import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { RouterError } from '../../src/errors.js';
import { mendBackupsIn } from '../../src/repo/mend-backups.js';
import type { Finding } from '../../src/router/finding.js';
import { layerFindings } from '../../src/router/layer-findings.js';
import { encodeBefore } from '../../src/router/mend-before.js';
import { undoMend } from '../../src/router/mend-undo.js';
import { carryOutMends } from '../../src/router/mending.js';
import type { Host } from '../../src/slot/host.js';
import { type FakeHost, type FakeHostOptions, fakeHost } from '../contract/fake-host.js';
import { fakeSlot } from '../contract/fake-slot.js';
import { NONE } from '../kit/none.js';
import { login, NOW, refreshOf, SLOT, vault } from './vaults.js';

const CAROL = 'openai-codex:carol';
const MAIN = 'agent:main:main';
const CHAT = 'agent:main:telegram:direct:1001';
const SLASH = 'agent:main:telegram:slash:1001';
const OTHER = 'agent:main:telegram:direct:2002';

/** Alice is routed in main, whose store has carol's login beside it. */
async function bench(options: Partial<FakeHostOptions> = {}) {
  const slot = fakeSlot();
  const host: FakeHost = fakeHost({
    slots: [slot],
    sessions: [{ key: MAIN, updatedAt: 9, pinnedTo: SLOT }, { key: CHAT }, { key: SLASH }, { key: OTHER }],
    ...options,
  });
  const one = vault();
  const [alice, bob, carol] = [login('alice'), login('bob'), login('carol')];
  await one.store(alice, bob);
  slot.hostPuts(CAROL, carol);
  await one.use(host, alice, { session: { kind: 'none' } });
  const data = mkdtempSync(join(tmpdir(), 'mends-'));
  t.teardown(() => rmSync(data, { recursive: true }));
  const repo = await one.repo.open();
  const backups = mendBackupsIn(data, repo, () => NOW);
  const keep = (before: Parameters<typeof encodeBefore>[0]) => backups.keep(encodeBefore(before, '/fake'));
  const look = (on: Host, session: string | null = null): Promise<readonly Finding[]> =>
    layerFindings(one.deps(on), { agent: null, session });
  return {
    slot,
    host,
    one,
    repo,
    alice,
    bob,
    keep,
    look,
    fix: (session: string | null = null, on: Host = host) =>
      carryOutMends({ look: () => look(on, session), keep }),
    undo: (id: string | null = null, on: Host = host) =>
      undoMend({ ...one.deps(on), backups, host: on }, repo, id),
    kept: () => readdirSync(data).flatMap((name) => (name === 'mends' ? readdirSync(join(data, name)) : [])),
  };
}

t.test('an order: kept, written, proved, and told to the gateway; its undo is told too', async (t) => {
  const it = await bench();
  it.slot.hostOrders([CAROL, SLOT], CAROL);
  const reloads = it.host.reloads.length;
  const { mended, failed, findings } = await it.fix();
  t.match([mended.length, failed, findings], [1, [], []]);
  t.match(await it.slot.read(), { selectable: true, order: [SLOT], lastGood: SLOT });
  t.equal(it.host.reloads.length, reloads + 1);
  t.equal((await it.undo()).text, `the order of agent main is as it was: ${CAROL}, ${SLOT}`);
  t.match(await it.slot.read(), { order: [CAROL, SLOT], lastGood: CAROL });
  t.strictSame(it.kept(), []);
});

t.test(
  'killed between back-up and write, or between write and proof: running it again ends it',
  async (t) => {
    for (const when of ['before', 'after'] as const) {
      const it = await bench();
      it.slot.hostOrders([CAROL], CAROL);
      const killed = {
        ...it.slot,
        replace: async (change: Parameters<typeof it.slot.replace>[0]) => {
          if (when === 'after') await it.slot.replace(change);
          throw new Error('killed');
        },
      };
      const host: Host = {
        ...it.host,
        slotsFor: async (agent) => ({ ...(await it.host.slotsFor(agent)), main: killed }),
        allSlots: async () => [killed],
      };
      await t.rejects(it.fix(null, host), /killed/);
      t.equal(it.kept().length, 1, 'what stood there is kept');
      const { findings, failed } = await it.fix();
      t.strictSame([findings, failed], [[], []], when);
      t.match(await it.slot.read(), { selectable: true });
      await it.undo();
      t.match(await it.slot.read(), { order: [CAROL], lastGood: CAROL }, `${when}: and the way back is left`);
    }
  },
);

t.test('nothing is written where the back-up cannot be kept', async (t) => {
  const it = await bench();
  it.slot.hostOrders([CAROL], CAROL);
  const keep = async () => {
    throw new RouterError('IO', 'the disk is full');
  };
  const { failed } = await carryOutMends({ look: () => it.look(it.host), keep });
  t.match(failed, [{ part: 'order', error: { code: 'IO' } }]);
  t.match(await it.slot.read(), { order: [CAROL] });
});

t.test('a pin: the session that is meant and its companions, and no other chat', async (t) => {
  const it = await bench();
  const { set } = it.host.pinsOf('main');
  await set([CHAT, OTHER], CAROL);
  t.match(await it.fix(), { mended: NONE, failed: NONE }, 'the current session is another one');
  const { mended, failed } = await it.fix(CHAT);
  t.match([mended, failed], [[{ code: 'PIN_DISAGREES' }], []]);
  t.strictSame(
    [CHAT, SLASH, OTHER, MAIN].map((key) => it.host.pinned.get(key)),
    [SLOT, SLOT, CAROL, SLOT],
  );
  await set([SLASH], 'openai-codex:chosen-since');
  const { text, notes } = await it.undo();
  t.equal(text, `${CHAT} is pinned to ${CAROL} again`);
  t.match(notes, [{ code: 'LEFT_AS_CHANGED' }]);
  t.equal(it.host.pinned.get(SLASH), 'openai-codex:chosen-since');
});

t.test('a pin to an own slot that was gone is not put back once others have that slot', async (t) => {
  const it = await bench();
  const own = 'openai-codex:router-1';
  await it.host.pinsOf('main').set([CHAT], own);
  t.match(await it.fix(CHAT), { mended: [{ code: 'PIN_DISAGREES' }] });
  it.slot.hostPuts(own, it.bob);
  t.match((await it.undo()).notes, [{ code: 'LEFT_AS_CHANGED' }]);
  t.equal(it.host.pinned.get(CHAT), SLOT);
});

t.test("a person's own pin, and another provider's, is never touched", async (t) => {
  const it = await bench();
  for (const own of ['personal:carol', 'anthropic:default']) {
    await it.host.pinsOf('main').set([CHAT], own);
    t.match(await it.fix(CHAT), { mended: NONE, failed: NONE, findings: NONE });
    t.equal(it.host.pinned.get(CHAT), own);
  }
});

t.test('no pin is set inside a running turn, which would write the old one back', async (t) => {
  const it = await bench({ running: new Set([CHAT]) });
  await it.host.pinsOf('main').set([CHAT], CAROL);
  t.match(await it.fix(CHAT), { mended: NONE, failed: [{ error: { code: 'HOST_BUSY' } }] });
  t.equal(it.host.pinned.get(CHAT), CAROL);
  t.strictSame(it.kept(), []);
});

t.test('a gateway that has not read the slot is asked to, and only its own word counts', async (t) => {
  const it = await bench();
  let holds = NOW - 1;
  const held: Host['held'] = async () => ({ kind: 'holds', expiresAt: holds, askedAt: null });
  const deaf: Host = {
    ...it.host,
    held,
    reload: async () => ({ effective: 'after-reload', proved: false, advice: 'restart it', notes: [] }),
  };
  t.match(await it.fix(null, deaf), {
    mended: NONE,
    failed: [{ code: 'EFFECTIVE_DISAGREES', error: { code: 'HOST_BUSY', hint: 'restart it' } }],
  });
  const host: Host = {
    ...it.host,
    held,
    reload: async (slot, expiresAt) => {
      holds = expiresAt ?? 0;
      return it.host.reload(slot, expiresAt);
    },
  };
  t.match(await it.fix(null, host), {
    mended: [{ code: 'EFFECTIVE_DISAGREES', undo: null }],
    findings: NONE,
  });
});

t.test('a name that lies stays while a gateway would restart itself for the change', async (t) => {
  const it = await bench();
  let shown: string | null = 'old@example.test';
  const labelled = (kind: 'no-gateway' | 'holds'): Host => ({
    ...it.host,
    held: async (_, expiresAt) =>
      kind === 'holds' ? { kind, expiresAt, askedAt: null } : { kind: 'no-gateway' },
    labelFor: () =>
      shown === null
        ? null
        : {
            shown,
            note: { code: 'CONFIG_NAMES_EMAIL', text: '' },
            mend: async (runs) => {
              if (runs) return { code: 'LABEL_LEFT', text: 'it was left' };
              shown = null;
              return { code: 'LABEL_REMOVED', text: 'it was taken out' };
            },
          },
  });
  t.match(await it.fix(null, labelled('holds')), {
    failed: [{ error: { code: 'HOST_BUSY' } }],
    mended: NONE,
  });
  t.equal(shown, 'old@example.test');
  t.match(await it.fix(null, labelled('no-gateway')), { mended: [{ part: 'label' }], failed: NONE });
});

t.test('the slot: who is there comes home first, and an API key is never written over', async (t) => {
  const it = await bench();
  const rotated = login('bob', 'rotated', NOW - 1000);
  it.slot.hostPuts(SLOT, rotated);
  t.match(await it.fix(), { mended: [{ code: 'SLOT_DISAGREES', undo: 'codex-router undo' }], failed: NONE });
  t.equal(
    refreshOf(it.one.repo.sealed(`${it.bob.identity.accountId}/${it.bob.identity.userId}`)),
    refreshOf(rotated),
  );
  t.match((await it.slot.read()).occupant, { kind: 'login', identity: it.alice.identity });

  it.slot.hostPuts(SLOT, { what: 'an API key' });
  t.match(await it.fix(), { mended: NONE, failed: NONE });
  t.match((await it.slot.read()).occupant, { kind: 'foreign' });

  for (const isOf of [rotated, it.alice]) {
    it.slot.hostPuts(SLOT, {
      kind: 'foreign',
      what: 'a login without a refresh token',
      remains: { areOf: (grant) => grant.accessToken.reveal() === isOf.grant.accessToken.reveal() },
    });
    const { failed } = await it.fix();
    t.equal(failed.length, isOf === it.alice ? 0 : 1, 'only what is left of the one who was chosen');
  }
  t.match((await it.slot.read()).occupant, { kind: 'login', identity: it.alice.identity });
});

t.test('nothing is mended in a host of another codex-router, and nothing taken back there', async (t) => {
  const it = await bench();
  it.slot.hostOrders([CAROL], CAROL);
  await it.fix();
  it.slot.hostOrders([CAROL], CAROL);
  const owner = await it.host.owner();
  await it.host.claim({ vaultId: 'another', generation: 1, at: NOW }, owner);
  t.match(await it.fix(), { mended: NONE, failed: [{ error: { code: 'HOST_OWNED' } }] });
  await t.rejects(it.undo(), { code: 'HOST_OWNED' });
  t.match(await it.slot.read(), { order: [CAROL] });
});

t.test('no chat is pinned to a slot that has no login', async (t) => {
  const it = await bench();
  it.slot.hostPuts(SLOT, { what: 'an API key' });
  await it.host.pinsOf('main').set([MAIN], CAROL);
  const { mended, failed } = await it.fix(MAIN);
  t.strictSame([mended, failed], [[], []]);
  t.match(
    (await it.host.pinsOf('main').read()).find(({ key }) => key === MAIN)?.pinnedTo,
    /^openai-codex:carol$/,
  );
});
