import t from 'tap';
import { chatHost } from '../kit/chat-host.js';
import { switched, waysTo } from '../kit/chat-switch.js';
import { until } from '../kit/process.js';
import { everyReleaseAsked, type Release, releasesToRun } from '../kit/releases.js';
import { DAY, people } from '../kit/tokens.js';

/** Those that keep a session's connection to the model, and with it the login that opened it, between turns. */
const KEEPING: readonly Release[] = ['2026.8.1', '2026.9.1', '2026.9.6'];

const MAIN = 'agent:main:main';

// The newest stands for the others where time is short.
const TRIED = everyReleaseAsked ? KEEPING : KEEPING.slice(-1);

for (const release of TRIED.filter((one) => releasesToRun().includes(one))) {
  t.test(
    `${release}: a switch reaches a chat that was just at work, or says that it does not yet`,
    async (t) => {
      const host = await chatHost(t, release, { settings: { askBeforeMovingOthers: false } });
      if (host === null) return;
      const work = host.issuer.mint(people['bob-team'], { expiresAt: Date.now() + 9 * DAY });
      t.match(await host.add(work, '--alias', 'work'), { ok: true });
      await host.start();
      const owner = await host.owner();
      const accountOf = async (session = MAIN) => (await host.turn(owner, session)).email;
      const { email: alice } = host.alice;
      t.equal(await accountOf(), alice);
      t.equal(await accountOf(), alice);

      const say = async (text: string) => (await owner.say(MAIN, text)).text;
      const said = await switched(say, waysTo(work, 'work'));
      // On a busy machine it is asked for twice, and then was there already.
      t.match(said, /is active here(, from your next message on| already)/);
      t.equal(await accountOf(), work.email, 'asked in the chat, its connection is opened anew');

      // From a terminal nobody can close it.
      const args = ['use', `${host.alice.accountId}/${host.alice.userId}`, '--session', MAIN];
      const back = await until(
        'the gateway answers in time',
        async () => {
          const document = await host.run(args);
          return document.proved ? document : null;
        },
        180_000,
      );
      t.match(back, { ok: true, effective: 'after-idle', advice: /quiet for 5 minutes/ }, '', back);
      t.match(back.notes, [{ code: 'CONNECTION_KEPT', text: /^this chat was at work/ }]);
      t.equal(await accountOf(), work.email, 'and it is as was said');

      t.equal(await accountOf('agent:main:new'), alice, 'a chat that had no turn is on it at once');
    },
  );
}
