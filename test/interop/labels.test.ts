import { readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { gatewayHost } from '../kit/gateway-host.js';
import { startIssuer } from '../kit/issuer.js';
import { until } from '../kit/process.js';
import { type Release, releasesToRun } from '../kit/releases.js';
import { router, sandbox } from '../kit/router.js';
import { codexAuthJson, DAY, people } from '../kit/tokens.js';

/** Whether the gateway of this release takes the change over; the others restart themselves for it. */
const TAKES_OVER: readonly (readonly [Release, boolean])[] = [
  ['2026.7.35', false],
  ['2026.9.6', true],
];

for (const [release, takesOver] of TAKES_OVER.filter(([name]) => releasesToRun().includes(name))) {
  t.test(`${release}: --fix-labels restarts no running gateway`, async (t) => {
    const issuer = await startIssuer(t);
    const box = sandbox(t);
    box.env.CODEX_ROUTER_KEY = 'file';
    const host = await gatewayHost(t, box, release, issuer);
    if (host === null) return;
    const mint = (name: 'alice' | 'bob') => issuer.mint(people[name], { expiresAt: Date.now() + 10 * DAY });
    await host.put(mint('alice'));
    const config = JSON.parse(readFileSync(host.configPath, 'utf8'));
    const labelled = { provider: host.provider, mode: 'oauth', email: people.alice.email };
    const auth = { ...config.auth, profiles: { ...config.auth?.profiles, [host.slotId]: labelled } };
    const text = `// mine\n${JSON.stringify({ ...config, auth }, null, 2)}\n`;
    writeFileSync(host.configPath, text, { mode: 0o600 });
    await host.start();

    const run = async (args: readonly string[], input?: string) => {
      const typed = input === undefined ? {} : { input };
      return (await router(box, [...args, '--json'], { node: host.node, timeout: 180_000, ...typed })).json;
    };
    const { gateway } = await run(['host']);
    t.equal(gateway?.port, host.port, 'the gateway is found');
    await run(['import', '--from', '-'], codexAuthJson(mint('bob')));
    const used = await run(['use', people.bob.accountId, '--fix-labels']);
    const codes = used.notes.map(({ code }: { code: string }) => code);
    t.ok(codes.includes(takesOver ? 'LABEL_REMOVED' : 'LABEL_LEFT'), codes.join());
    const shown = readFileSync(host.configPath, 'utf8');
    if (takesOver) {
      t.notMatch(shown, people.alice.email);
      t.match(shown, /^\/\/ mine$/m, 'the comment is still there');
      await until(
        'the gateway has seen it',
        async () => /\[reload\].*auth\.profiles/.test(host.log()),
        30_000,
      );
    } else {
      t.equal(shown, text);
    }
    t.strictSame((await run(['host'])).gateway, gateway, 'the same process on the same port');
    t.notMatch(host.log(), /SIGUSR1|requires gateway restart/);
  });
}
