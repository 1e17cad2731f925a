import t from 'tap';
import { RouterError } from '../../src/errors.js';
import type { Before, Finding, Mend } from '../../src/router/finding.js';
import { encodeBefore, parseBefore } from '../../src/router/mend-before.js';
import { carryOutMends, type MendingDeps } from '../../src/router/mending.js';
import { NONE } from '../kit/none.js';

/** A world of faults by name; a mend takes its own away, and what it is told to. */
function world(faults: readonly Finding['part'][]) {
  const there = new Set<string>(faults);
  const done: string[] = [];
  let looks = 0;
  const mends = new Map<string, Mend['carryOut']>();
  const findings = (): Finding[] =>
    [...there].map((part) => ({
      code: 'ORDER_DISAGREES',
      part: part as Finding['part'],
      danger: false,
      text: part,
      remedy: null,
      mend: {
        does: `mend ${part}`,
        carryOut: async (keep) => {
          done.push(part);
          const own = mends.get(part);
          if (own !== undefined) return own(keep);
          there.delete(part);
          return { text: `${part} mended`, undo: null, notes: [] };
        },
      },
    }));
  return {
    there,
    done,
    mends,
    get looks() {
      return looks;
    },
    run: (more: Partial<MendingDeps> = {}) =>
      carryOutMends({
        look: async () => {
          looks += 1;
          return findings();
        },
        keep: async () => '00000000',
        ...more,
      }),
  };
}

t.test('mends what others rest on first, one at a time, and looks anew after each', async (t) => {
  const it = world(['label', 'effective', 'pin', 'order', 'slot', 'choice', 'vault', 'permissions', 'lock']);
  const { findings, mended, failed } = await it.run();
  t.strictSame(it.done, [
    'lock',
    'permissions',
    'vault',
    'choice',
    'slot',
    'order',
    'pin',
    'effective',
    'label',
  ]);
  t.equal(it.looks, 10);
  t.strictSame([findings, failed], [[], []]);
  t.strictSame(
    mended.map(({ part }) => part),
    it.done,
  );
});

t.test('does not carry out a mend for what an earlier one has cured', async (t) => {
  const it = world(['slot', 'order', 'pin']);
  it.mends.set('slot', async () => {
    it.there.clear();
    return { text: 'the slot', undo: 'codex-router undo', notes: [] };
  });
  t.match(await it.run(), {
    mended: [{ part: 'slot', undo: 'codex-router undo' }],
    failed: NONE,
    findings: NONE,
  });
  t.strictSame(it.done, ['slot']);
});

t.test('a mend that fails is told with its error and is not tried again, and the rest goes on', async (t) => {
  const it = world(['slot', 'label']);
  it.mends.set('slot', async () => {
    throw new RouterError('HOST_BUSY', 'a turn runs', { hint: 'later' });
  });
  const { mended, failed, findings } = await it.run();
  t.match(failed, [{ part: 'slot', error: { code: 'HOST_BUSY', hint: 'later' } }]);
  t.match(mended, [{ part: 'label' }]);
  t.match(findings, [{ part: 'slot' }]);
  t.strictSame(it.done, ['slot', 'label']);
});

t.test('what somebody else has mended meanwhile is no failure; what broke on the way is', async (t) => {
  for (const [code, count] of [
    ['HOST_BUSY', 0],
    ['SLOT_CHANGED', 0],
    ['IO', 1],
  ] as const) {
    const it = world(['lock']);
    it.mends.set('lock', async () => {
      it.there.clear();
      throw new RouterError(code, 'not as it was found');
    });
    const { failed, findings } = await it.run();
    t.strictSame([failed.length, findings.length], [count, 0], code);
  }
});

t.test('a mend that does not cure is a failure that names its undo, and never runs twice', async (t) => {
  const it = world(['order']);
  it.mends.set('order', async () => ({ text: 'written', undo: 'codex-router doctor --undo 1', notes: [] }));
  const { mended, failed } = await it.run();
  t.strictSame([mended, it.done], [[], ['order']]);
  t.match(failed, [{ error: { code: 'SLOT_CHANGED', hint: /--undo 1 takes it back/ } }]);
});

t.test('faults that mends make anew under other words come to an end', async (t) => {
  const it = world(['order']);
  let count = 0;
  const again: Mend['carryOut'] = async () => {
    it.there.clear();
    count += 1;
    it.there.add(`order ${count}`);
    it.mends.set(`order ${count}`, again);
    return { text: 'moved', undo: null, notes: [] };
  };
  it.mends.set('order', again);
  const { findings } = await it.run();
  t.equal(count, 50);
  t.equal(findings.length, 1);
});

t.test('ends between two mends when it is stopped, and a bug is not called a failure', async (t) => {
  const it = world(['slot', 'order']);
  const stop = new AbortController();
  it.mends.set('slot', async () => {
    it.there.delete('slot');
    stop.abort(new Error('stopped'));
    return { text: 'the slot', undo: null, notes: [] };
  });
  await t.rejects(it.run({ signal: stop.signal }), /stopped/);
  t.strictSame(it.done, ['slot']);
  const other = world(['slot']);
  other.mends.set('slot', async () => {
    throw new TypeError('a bug');
  });
  await t.rejects(other.run(), /a bug/);
});

t.test('says each before it begins, and what came of it', async (t) => {
  const it = world(['slot', 'order']);
  it.mends.set('order', async () => {
    throw new RouterError('BUSY', 'no');
  });
  const heard: string[] = [];
  await it.run({ heard: ({ kind }) => heard.push(kind) });
  t.strictSame(heard, ['begins', 'mended', 'begins', 'failed']);
});

t.test('what is kept reads back as it was, byte for byte; anything else is damage', async (t) => {
  const befores: readonly Before[] = [
    { kind: 'pins', agent: 'main', pins: [{ key: 'agent:main:é', was: null, is: 'a' }] },
    { kind: 'selection', agent: 'ops', slots: [{ id: 'x#y#z', order: ['a', 'b'], lastGood: null }] },
    { kind: 'file', path: '/x', mode: 0o640, bytes: Buffer.from([0, 255, 10]), next: Buffer.from('n') },
    { kind: 'file', path: '/x', mode: 0o644, bytes: null, nextMode: 0o600 },
    { kind: 'file', path: '/x', mode: 0o644, bytes: null, next: Buffer.from(''), restarts: true },
  ];
  for (const before of befores)
    t.strictSame(parseBefore(encodeBefore(before, '/state'), 'id'), { stateDir: '/state', before });
  for (const text of ['', '[]', '{"kind":"other"}', '{"kind":"pins","agent":"a","pins":[]}'])
    t.throws(() => parseBefore(text, 'id'), { code: 'RECORD_DAMAGED' });
});
