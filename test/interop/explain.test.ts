import t from 'tap';
import { gatewayHost } from '../kit/gateway-host.js';
import { startIssuer } from '../kit/issuer.js';
import { until } from '../kit/process.js';
import { type Release, releasesToRun } from '../kit/releases.js';
import { type JsonDocument, leaksOf, router, sandbox } from '../kit/router.js';
import { codexAuthJson, DAY, people } from '../kit/tokens.js';

const wanted: readonly Release[] = ['2026.5.28', '2026.7.35', '2026.9.6'];

/** What `effective` says when a busy machine's gateway did not answer within codex-router's bounds. */
const TOO_SLOW = /did not answer in time|is still starting/;

for (const release of wanted.filter((one) => releasesToRun().includes(one))) {
  t.test(
    `${release}: effective is the account the next turn runs on, and looking does not change that`,
    async (t) => {
      const issuer = await startIssuer(t);
      const box = sandbox(t);
      box.env.CODEX_ROUTER_KEY = 'file';
      box.env.CODEX_ROUTER_TEST_ISSUER = issuer.url;
      const host = await gatewayHost(t, box, release, issuer);
      if (host === null) return;
      const run = async (args: readonly string[], input?: string): Promise<JsonDocument> =>
        (
          await router(box, [...args, '--json'], {
            node: host.node,
            timeout: 180_000,
            ...(input !== undefined && { input }),
          })
        ).json;
      const mint = (name: 'alice' | 'bob', days: number) =>
        issuer.mint(people[name], { expiresAt: Date.now() + days * DAY });
      // A gateway tells a login by when it expires.
      const [alice, bob] = [mint('alice', 10), mint('bob', 9)];
      for (const [alias, login] of Object.entries({ alice, bob })) {
        t.match(await run(['import', '--from', '-', '--alias', alias], codexAuthJson(login)), { ok: true });
      }
      const explain = async () => {
        let seen: JsonDocument;
        await until('the gateway answers in time', async () => {
          seen = await run(['explain']);
          return !TOO_SLOW.test(seen.layers[4].why ?? '');
        });
        return seen;
      };
      const emails = async () => [...new Set((await host.turn()).map(({ email }) => email))];

      await host.put(alice);
      await host.start();
      t.strictSame(await emails(), [people.alice.email]);
      t.match((await explain()).layers[4], { identity: { alias: 'alice' }, verdict: 'agrees' });

      await host.put(bob);
      const stale = await explain();
      t.match(stale, { first: 'effective', remedy: 'codex-router use bob' });
      t.match(stale.layers[1], { identity: { alias: 'bob' }, verdict: 'agrees' });
      t.match(stale.layers[4], { identity: { alias: 'alice' }, verdict: 'disagrees' });
      t.match((await run(['usage'])).usage, [
        { identity: { alias: 'bob' }, state: 'answered', heldBy: 'slot' },
      ]);
      t.strictSame(await emails(), [people.alice.email], 'it still ran on what explain named');

      await host.put(alice);
      await run(['use', 'bob']);
      await until('the gateway was told', async () => {
        const { effective } = await run(['use', 'bob']);
        return ['now', 'after-idle'].includes(effective);
      });
      t.match((await explain()).layers[4], { identity: { alias: 'bob' }, verdict: 'agrees' });
      t.strictSame(await emails(), [people.bob.email]);
      t.strictSame(leaksOf(box), []);
    },
  );
}
