import t from 'tap';
import { sendHostMessage } from '../../src/openclaw/host-message.js';
import { chatHost } from '../kit/chat-host.js';
import { TELEGRAM_OWNER } from '../kit/chat-telegram.js';
import { everyReleaseAsked, type Release, releasesToRun } from '../kit/releases.js';

const RELEASES: readonly Release[] = everyReleaseAsked ? ['2026.5.7', '2026.9.6'] : ['2026.9.6'];
const TEXT = 'codex-router: failover moved 1 session from work to home: little is left of its limits';

for (const release of RELEASES.filter((one) => releasesToRun().includes(one))) {
  t.test(`${release}: a notification arrives as a message of the real OpenClaw`, async (t) => {
    const host = await chatHost(t, release);
    if (host === null) return;
    const uid = process.geteuid?.() ?? null;
    const { box } = host;
    const configPath = `${box.stateDir}/openclaw.json`;
    const deps = { env: box.env, platform: process.platform, uid, stateDir: box.stateDir, configPath };
    const send = (target: string) => sendHostMessage(deps, { channel: 'telegram', target }, TEXT);
    await host.start();
    await host.telegram.ready();
    t.equal(await send(String(TELEGRAM_OWNER)), null);
    const sent = host.telegram.calls.filter(({ method }) => method === 'sendMessage');
    t.match(sent, [{ chat: String(TELEGRAM_OWNER), text: TEXT }]);
    await host.stop();
    t.match(
      await send(String(TELEGRAM_OWNER)),
      /^openclaw message send ended with status \d+$/,
      'nobody sends it',
    );
  });
}
