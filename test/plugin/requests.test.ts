import { inspect } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import { type Admission, recentRequests } from '../../plugin/requests.js';

const ASKED = {
  sender: 'telegram:default:1001',
  chat: 'telegram:default:1001',
  text: '/codex_profile use work',
};

/** Ends it at once. @throws when it was not let through */
function run(admission: Admission, ok?: boolean): void {
  if (admission.kind !== 'first') throw new Error(`not run: ${admission.text}`);
  admission.done(ok);
}

t.test('the same request within 20 s runs once, and whoever repeats it is told when to ask again', (t) => {
  const requests = recentRequests();
  run(requests.admit(ASKED, 1_000));
  const again = requests.admit(ASKED, 8_500);
  t.match(again, { kind: 'again', text: /Ask again in 13 s/ });
  t.match(requests.admit({ ...ASKED, text: ` ${ASKED.text.replace(' ', '  ')}\n` }, 20_999), {
    kind: 'again',
  });
  t.match(requests.admit(ASKED, 21_000), { kind: 'first' });
  t.end();
});

t.test('while it runs it is not begun again, however long that takes', (t) => {
  const requests = recentRequests();
  const first = requests.admit(ASKED, 0);
  t.match(requests.admit(ASKED, 1), { kind: 'again', text: /answer comes once/ });
  t.match(requests.admit(ASKED, 300_000), { kind: 'again' });
  run(first);
  t.match(requests.admit(ASKED, 300_001), { kind: 'first' });
  t.end();
});

t.test('a request that never ends does not lock its sender out for ever', (t) => {
  const requests = recentRequests();
  requests.admit(ASKED, 0);
  t.match(requests.admit(ASKED, 12 * 60_000), { kind: 'first' });
  t.end();
});

t.test('what failed may be asked again at once', (t) => {
  const requests = recentRequests();
  run(requests.admit(ASKED, 0), false);
  t.match(requests.admit(ASKED, 1), { kind: 'first' });
  t.end();
});

t.test('use work, undo, use work: the third is meant', (t) => {
  const requests = recentRequests();
  run(requests.admit(ASKED, 0));
  run(requests.admit({ ...ASKED, text: '/codex_profile undo' }, 2_000));
  run(requests.admit(ASKED, 4_000));
  t.match(requests.admit(ASKED, 5_000), { kind: 'again' });
  t.end();
});

t.test('a different request does not let in a second run of one that is still running', (t) => {
  const requests = recentRequests();
  requests.admit(ASKED, 0);
  run(requests.admit({ ...ASKED, text: '/codex_usage' }, 1));
  t.match(requests.admit(ASKED, 2), { kind: 'again' });
  t.end();
});

t.test('another sender or another chat is never held back', (t) => {
  const requests = recentRequests();
  requests.admit(ASKED, 0);
  t.match(requests.admit({ ...ASKED, sender: 'telegram:default:1002' }, 1), { kind: 'first' });
  t.match(requests.admit({ ...ASKED, chat: 'telegram:default:-100200:77' }, 1), { kind: 'first' });
  t.match(requests.admit({ ...ASKED, sender: null }, 1), { kind: 'first' });
  t.match(
    requests.admit({ ...ASKED, sender: null }, 1),
    { kind: 'first' },
    'an unknown sender is not one person',
  );
  t.match(requests.admit({ ...ASKED, chat: null }, 1), { kind: 'first' });
  t.match(requests.admit({ ...ASKED, chat: null }, 1), { kind: 'first' });
  t.end();
});

t.test('where one of the three ends and the next begins cannot be talked away', (t) => {
  const requests = recentRequests();
  requests.admit({ sender: 'a', chat: 'b","c', text: 'd' }, 0);
  t.match(requests.admit({ sender: 'a', chat: 'b', text: 'c","d' }, 0), { kind: 'first' });
  t.match(requests.admit({ sender: 'a","b', chat: 'c', text: 'd' }, 0), { kind: 'first' });
  t.end();
});

t.test('a clock that was set back locks nobody out', (t) => {
  const requests = recentRequests();
  run(requests.admit(ASKED, 10_000_000));
  t.match(requests.admit(ASKED, 5_000), { kind: 'first' });
  t.end();
});

t.test('it never remembers more than its limit, and forgets ended ones first', (t) => {
  const requests = recentRequests({ limit: 50 });
  const slow = { ...ASKED, chat: 'slow' };
  requests.admit(slow, 0);
  for (let i = 0; i < 1_000; i += 1) run(requests.admit({ ...ASKED, chat: `chat ${i}` }, i));
  t.equal(requests.remembered.size, 50);
  t.match(requests.admit(slow, 1_001), { kind: 'again' });
  for (let i = 0; i < 1_000; i += 1) requests.admit({ ...ASKED, chat: `other ${i}` }, 1_002);
  t.equal(requests.remembered.size, 50, 'also when none of them has ended');
  t.end();
});

t.test('nothing of a text is kept, neither as it is nor encoded', (t) => {
  const secret = 'http://localhost:1455/auth/callback?code=ac_CANARY&state=st_CANARY';
  const requests = recentRequests();
  run(requests.admit({ ...ASKED, text: `/codex_auth finish ${secret}` }, 0));
  t.equal(requests.remembered.size, 1);
  const shown = inspect(requests, { showHidden: true, depth: 9 });
  t.match(shown, /running: false/, 'what is kept was looked at');
  t.notMatch(shown, /CANARY|ac_|callback/);
  t.notMatch(JSON.stringify(requests.admit({ ...ASKED, text: `/codex_auth finish ${secret}` }, 1)), /CANARY/);
  t.end();
});

t.test('law: of one request any number of times within the window, exactly one runs', (t) => {
  const times = fc.array(fc.integer({ min: 0, max: 19_999 }), { minLength: 1, maxLength: 30 });
  fc.assert(
    fc.property(times, fc.array(fc.boolean(), { minLength: 30, maxLength: 30 }), (at, ends) => {
      const requests = recentRequests();
      const admissions = at
        .sort((a, b) => a - b)
        .map((now, index) => {
          const admission = requests.admit(ASKED, now);
          if (ends[index] && admission.kind === 'first') admission.done();
          return admission;
        });
      return (
        admissions.filter(({ kind }) => kind === 'first').length === 1 && admissions[0]?.kind === 'first'
      );
    }),
  );
  t.end();
});
