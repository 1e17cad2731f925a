import t from 'tap';
import { parseAccountId, parseUserId } from '../../src/identity.js';
import type { SwitchRecord } from '../../src/repo/journal.js';
import { changedTo, type KeptQuestion, withKept } from '../../src/router/kept-connections.js';
import type { ReloadOutcome } from '../../src/slot/host.js';

const NOW = 1_800_000_000_000;
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const KEPT_MS = 5 * MINUTE;
const CHAT = 'agent:main:telegram:direct:1001';

const told: ReloadOutcome = { effective: 'now', proved: true, advice: null, notes: [], keptMs: KEPT_MS };

/** A switch made just now, asked for in a chat that had a turn a minute ago. */
function question(changes: Partial<KeptQuestion> = {}): KeptQuestion {
  return {
    reload: told,
    changedAt: NOW,
    current: CHAT,
    following: [{ key: CHAT, updatedAt: NOW - MINUTE }],
    pins: [],
    running: new Set(),
    now: NOW,
    ...changes,
  };
}

const effectiveOf = (changes: Partial<KeptQuestion>) => withKept(question(changes)).reload.effective;

t.test('a chat that was just at work is on the new account after it was quiet', async (t) => {
  const { reload, notes } = withKept(question());
  t.match(reload, { effective: 'after-idle', proved: true, advice: /quiet for 5 minutes.*\/new/ });
  t.match(notes, [{ code: 'CONNECTION_KEPT', text: /^this chat was at work/ }]);
  t.equal(notes.length, 1);
});

t.test('what decides it', async (t) => {
  const seen = (updatedAt: number) => [{ key: CHAT, updatedAt }];
  const at = (following: KeptQuestion['following']) => effectiveOf({ following });
  t.equal(at(seen(NOW - KEPT_MS + 1)), 'after-idle', 'the last moment');
  t.equal(at(seen(NOW - KEPT_MS)), 'now', 'quiet for long enough');
  t.equal(at(seen(0)), 'after-idle', 'not known counts as just now');
  t.equal(at([]), 'now', 'a chat that does not follow the slot');
  t.equal(
    effectiveOf({ following: seen(NOW - 60 * MINUTE), running: new Set([CHAT]) }),
    'after-idle',
    'a turn that takes long',
  );
  t.equal(effectiveOf({ current: CHAT.toUpperCase() }), 'after-idle', 'a key in any case');
  t.equal(effectiveOf({ changedAt: null }), 'now', 'nothing has changed');
  t.equal(effectiveOf({ changedAt: NOW - 54 * MINUTE }), 'after-idle', 'changed by an earlier command');
  t.equal(effectiveOf({ changedAt: NOW - 55 * MINUTE }), 'now', 'no connection is that old');
  const moved = (was: string | null) => ({
    changedAt: null,
    pins: [{ key: CHAT, was, is: 'openai:default' }],
  });
  t.equal(effectiveOf(moved('openai:carol')), 'after-idle', 'only the pin of this chat changed');
  t.equal(effectiveOf(moved('openai:default')), 'now');
  t.equal(effectiveOf(moved(null)), 'now', 'a chat without a pin was on the slot before');
});

t.test('a gateway that keeps none, or does not run, changes nothing', async (t) => {
  const { keptMs: _none, ...closes } = told;
  for (const reload of [closes, { ...told, effective: 'no-gateway' as const }])
    t.strictSame(withKept(question({ reload })), { reload, notes: [] });
});

t.test('a gateway that was not told keeps its own answer, and it is said beside it', async (t) => {
  const reload: ReloadOutcome = { ...told, effective: 'after-next-turn', proved: false, advice: 'send one' };
  const kept = withKept(question({ reload }));
  t.equal(kept.reload, reload);
  t.match(kept.notes, [{ code: 'CONNECTION_KEPT' }]);
});

t.test('says how many other sessions stay behind', async (t) => {
  const following = [
    { key: CHAT, updatedAt: NOW - MINUTE },
    { key: 'agent:main:main', updatedAt: NOW - MINUTE },
    { key: 'agent:main:cron:1', updatedAt: NOW },
    { key: 'agent:main:telegram:slash:1001', updatedAt: NOW },
    { key: 'agent:main:old', updatedAt: NOW - 10 * MINUTE },
  ];
  t.match(withKept(question({ following })).notes, [
    {},
    { code: 'CONNECTION_KEPT', text: /^2 other session/ },
  ]);
  const none = withKept(question({ following, current: null }));
  t.equal(none.reload, told, 'asked for no chat, it is as the gateway says');
  t.match(none.notes, [{ code: 'CONNECTION_KEPT', text: /^3 session\(s\) that were at work/ }]);
  t.strictSame(withKept(question({ following, current: null, changedAt: null })).notes, []);
});

t.test('the journal knows when the slot got who is in it', async (t) => {
  const [alice, bob] = [
    { accountId: parseAccountId('a'), userId: parseUserId('ua') },
    { accountId: parseAccountId('b'), userId: parseUserId('ub') },
  ];
  const record = (changes: Partial<SwitchRecord>): SwitchRecord => ({
    ...{ id: '1', slot: 'main', from: alice, to: bob, pins: [], undoes: null, step: 'done', at: 100 },
    ...changes,
  });
  t.equal(changedTo([record({})], 'main', bob), 100);
  t.equal(changedTo([record({}), record({ from: bob, at: 200 })], 'main', bob), 100, 'a renewed login');
  t.equal(changedTo([record({ from: null })], 'main', bob), 100, 'an empty slot');
  t.equal(changedTo([record({})], 'main', alice), null, 'another came by another hand');
  t.equal(changedTo([record({})], 'other', bob), null);
  for (const step of ['begun', 'abandoned'] as const)
    t.equal(changedTo([record({ step })], 'main', bob), null, step);
  t.equal(
    changedTo([record({}), record({ from: bob, to: null, at: 200 })], 'main', bob),
    null,
    'cleared since',
  );
});
