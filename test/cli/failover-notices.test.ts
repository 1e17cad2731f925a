import { readFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import type { Names } from '../../src/cli/failover-names.js';
import { notices, TOLD_AFTER } from '../../src/cli/failover-notices.js';
import { commandPort, type Notice, notifier } from '../../src/cli/failover-notify.js';
import { RouterError } from '../../src/errors.js';
import { parseAccountId, parseUserId } from '../../src/identity.js';
import { isRunning } from '../../src/os/live-process.js';
import type { RoundAnswer, SlotRound } from '../../src/router/failover-plan.js';
import type { WatchStanding, WatchStep } from '../../src/router/failover-watch.js';
import { until } from '../kit/process.js';

const MASKS: Names = { slot: () => 'slotmask', session: () => 'sessmask', identity: () => 'idenmask' };
const nobodyIsCalled = () => null;

const identity = (name: string) => ({
  accountId: parseAccountId(`acc-${name}`),
  userId: parseUserId(`user-${name}`),
  email: `${name}@example.test`,
  plan: null,
  workspace: null,
});

function standing(failedInARow = 0): WatchStanding {
  return { startedAt: 1, lastAt: 2, nextAt: 3, rounds: 1, failed: failedInARow, failedInARow, trouble: null };
}

/** A round of one slot, as far as a notice looks at it. */
function roundOf(
  slot: Partial<Pick<SlotRound, 'failure' | 'outcome'>> & { status: string; held?: string; at?: number },
) {
  const { status, held = null, failure = null, outcome = null, at = 7 } = slot;
  const one = {
    slot: { id: '/home/somebody/.openclaw#slot', layout: 'json', agent: 'main', profileId: 'x:default' },
    sessions: ['agent:main:telegram:direct:1001'],
    current: identity('work'),
    to: { identity: identity('home'), alias: 'home' },
    decision: { status, held, reason: 'remaining_below_threshold', to: null, weighed: [] },
    changes: [{}, {}],
    failure,
    outcome,
  };
  // Only what a notice reads is there.
  const round = { at, apply: false, sessions: [], slots: [one] } as unknown as RoundAnswer;
  const step: WatchStep<RoundAnswer> = {
    kind: 'round',
    round,
    isNew: true,
    recovered: false,
    standing: standing(),
  };
  return step;
}

const kinds = (told: readonly Notice[]) => told.map(({ kind }) => kind);

t.test('what a dry run would do is told once, until it is something else', (t) => {
  const { of } = notices(false);
  const would = roundOf({ status: 'switch_recommended' });
  t.strictSame(kinds(of(would, MASKS, nobodyIsCalled)), ['would-switch']);
  t.strictSame(kinds(of(would, MASKS, nobodyIsCalled)), []);
  t.strictSame(kinds(of(roundOf({ status: 'switch_recommended', held: 'busy' }), MASKS, nobodyIsCalled)), []);
  t.strictSame(kinds(of(roundOf({ status: 'no_candidate_available' }), MASKS, nobodyIsCalled)), [
    'nobody-better',
  ]);
  t.strictSame(kinds(of(roundOf({ status: 'healthy' }), MASKS, nobodyIsCalled)), []);
  t.strictSame(
    kinds(of(would, MASKS, nobodyIsCalled)),
    ['would-switch'],
    'after it was well it is news again',
  );
  t.end();
});

t.test('each switch is told, and one that failed once for as long as it fails alike', (t) => {
  const { of } = notices(true);
  const done = { inSlot: null } as unknown as SlotRound['outcome'];
  for (const at of [1, 2]) {
    t.strictSame(kinds(of(roundOf({ status: 'switched', outcome: done, at }), MASKS, nobodyIsCalled)), [
      'switched',
    ]);
  }
  const failed = roundOf({ status: 'switch_recommended', failure: new RouterError('HOST_BUSY', 'busy') });
  t.match(of(failed, MASKS, nobodyIsCalled), [{ kind: 'switch-failed', code: 'HOST_BUSY' }]);
  t.strictSame(of(failed, MASKS, nobodyIsCalled), []);
  t.end();
});

t.test('no notice names anybody but by mask or alias', (t) => {
  const step = roundOf({ status: 'switch_recommended' });
  const [masked] = notices(false).of(step, MASKS, nobodyIsCalled);
  t.notMatch(JSON.stringify(masked), /acc-|user-|@|1001|somebody/);
  t.match(masked?.text, /from identity idenmask to identity idenmask/);
  const [called] = notices(false).of(step, MASKS, (key) => (key.includes('home') ? 'home' : null));
  t.match(called?.text, /would move 2 sessions from identity idenmask to home: little is left of its limits/);
  t.end();
});

t.test('failing rounds are told when they are no accident, once, and their end too', (t) => {
  const { of } = notices(false);
  const trouble = (failedInARow: number): WatchStep<RoundAnswer> => ({
    kind: 'trouble',
    trouble: new RouterError('IO', 'the disk of me@example.test is full'),
    isNew: true,
    standing: standing(failedInARow),
  });
  for (let count = 1; count < TOLD_AFTER; count += 1)
    t.strictSame(of(trouble(count), MASKS, nobodyIsCalled), []);
  const [told, ...more] = of(trouble(TOLD_AFTER), MASKS, nobodyIsCalled);
  t.match(told, { kind: 'rounds-fail', code: 'IO' });
  t.notMatch(told?.text, /@/);
  t.strictSame(more, []);
  t.strictSame(of(trouble(TOLD_AFTER + 1), MASKS, nobodyIsCalled), []);
  t.strictSame(kinds(of(roundOf({ status: 'ok' }), MASKS, nobodyIsCalled)), ['recovered']);
  t.strictSame(kinds(of(roundOf({ status: 'ok' }), MASKS, nobodyIsCalled)), []);
  t.end();
});

t.test('one way that does not work is told once until it has worked again, and stops no other', async (t) => {
  const heard: string[] = [];
  const failures: string[] = [];
  let why: string | null = 'did not';
  const { send } = notifier(
    {
      command: async () => why,
      message: async ({ target }, text) => {
        heard.push(`${target} ${text}`);
        return null;
      },
    },
    (way, reason) => void failures.push(`${way} ${reason}`),
  );
  const [notice] = notices(false).of(roundOf({ status: 'switch_recommended' }), MASKS, nobodyIsCalled);
  if (notice === undefined) throw new Error('there is one');
  const notify = { command: ['tell'], message: { channel: 'telegram', target: '-100' } };
  for (const outcome of ['did not', 'did not', null, 'did not']) {
    why = outcome;
    await send(notice, notify);
  }
  t.strictSame(failures, ['command did not', 'command did not']);
  t.equal(heard.length, 4);
  t.match(heard[0], /^-100 codex-router: failover would move/);
  await send(notice, null);
  t.equal(heard.length, 4);
});

t.test('a command that hangs is ended at its time, with what it has started', async (t) => {
  const file = path.join(t.testdir(), 'pid');
  const run = commandPort({ PATH: '/usr/bin:/bin' }, 1000);
  const why = await run(['/bin/sh', '-c', `sleep 600 & echo $! > '${file}'; wait`], '{}');
  t.match(why, /^the notification command did not end within 1 s and was killed$/);
  const pid = Number(readFileSync(file, 'utf8'));
  t.ok(await until('its end', () => !isRunning(pid, null)));
  t.equal(await run(['/bin/sh', '-c', 'read line; test "$line" = "{}"'], '{}\n'), null);
  t.match(await run(['/bin/sh', '-c', 'exit 3'], ''), /ended with status 3$/);
});

t.test('a command that can never be started is told as one, whichever way the system says so', async (t) => {
  const run = commandPort({ PATH: '/usr/bin:/bin' });
  for (const [program, why] of [
    ['/nowhere/at/all', /could not be started \(ENOENT\)$/],
    ['/', /could not be started \(EACCES\)$/],
    ['/bin/sh/in-a-file', /could not be started \(ENOTDIR\)$/],
    ['x'.repeat(400), /could not be started \(ENAMETOOLONG\)$/],
  ] as const) {
    t.match(await run([program], '{}'), why);
  }
});
