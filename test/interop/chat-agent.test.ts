import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { type ChatClient, type ChatHost, chatHost } from '../kit/chat-host.js';
import { until } from '../kit/process.js';
import { everyReleaseAsked, type Release, releasesToRun } from '../kit/releases.js';
import { type JsonDocument, leaksOf } from '../kit/router.js';
import { DAY, people } from '../kit/tokens.js';

const CHAT = 'agent:main:fresh';
const EXEC = { host: 'gateway', security: 'full', ask: 'off' };

const ERAS: readonly Release[] = everyReleaseAsked ? ['2026.5.7', '2026.9.6'] : ['2026.9.6'];

for (const release of ERAS.filter((one) => releasesToRun().includes(one))) {
  t.test(`${release}: what an agent runs knows its chat, and does no more than it may`, async (t) => {
    const host = await chatHost(t, release, {
      config: { tools: { exec: EXEC } },
      before: async (box) => {
        // 2026.5.7 does not hand it on to what an agent runs; without it, codex-router's folder is the same for both.
        delete box.env.XDG_CONFIG_HOME;
        return true;
      },
    });
    if (host === null) return;
    const work = host.issuer.mint(people['bob-team'], { expiresAt: Date.now() + 9 * DAY });
    t.match(await host.add(work, '--alias', 'work'), { ok: true });
    await host.start();
    const me = await host.owner();
    t.match(await host.turn(me, CHAT), { email: people.alice.email });

    const said = await agentRuns(host, me, {
      env: 'env',
      status: 'codex-router status --json',
      logout: 'codex-router logout work --yes --json',
      login: 'codex-router login --json',
      exported: 'codex-router export --to x --json',
      use: 'codex-router use work --json',
      chat: "codex-router chat '/codex_profile use work' --json",
    });
    t.match(said.env, new RegExp(`^CODEX_ROUTER_SESSION_KEY=${CHAT}$`, 'm'));
    t.match(said.env, /^OPENCLAW_SHELL=exec$/m);
    t.match(parse(said.status), { ok: true, session: { key: CHAT } });
    for (const name of ['logout', 'login', 'exported', 'use', 'chat'] as const)
      t.match(parse(said[name]), { ok: false, error: { code: 'AGENT_REFUSED' } }, name);
    t.equal(host.state.slot()?.email, people.alice.email, 'nothing has moved');
    const { identities } = await host.run(['list']);
    t.ok(
      identities.some((one: JsonDocument) => one.alias === 'work'),
      'nothing is gone',
    );

    t.match(await host.run(['config', 'set', 'agents.allow', 'use']), { ok: true });
    const allowed = await agentRuns(host, me, { use: 'codex-router use work --json' });
    const document = parse(allowed.use);
    t.match(
      document,
      { ok: true, result: 'switched', session: { key: CHAT } },
      'the person allowed it',
      document,
    );
    t.match(
      document.pins.find((pin: JsonDocument) => pin.key === CHAT),
      { result: 'pending' },
      'a pin inside a running turn may yet be lost',
    );
    await until('the pin is there when the turn has ended', () => {
      const entry = host.state.sessions()[CHAT];
      return (
        entry?.authProfileOverride === host.state.traits.slot && entry.authProfileOverrideSource === 'user'
      );
    });
    t.equal(host.state.slot()?.email, people['bob-team'].email);
    const heard = await me.say(CHAT, '/codex_profile');
    t.match(heard.text, /^work \(.*Team\) is active here/);
    // Where the chat keeps its connection to the model, the answer has said that the login changes when it has closed.
    t.equal(document.effective, release === '2026.9.6' ? 'after-idle' : 'now');
    const next = release === '2026.9.6' ? 'agent:main:another' : CHAT;
    t.match(await host.turn(me, next), { email: people['bob-team'].email });
    await host.stop();
    t.strictSame(host.issuer.reuses(), []);
    t.strictSame(leaksOf(host.box), []);
  });
}

/** One turn in which the agent runs each command with its exec tool; what each printed. */
async function agentRuns<Name extends string>(
  host: ChatHost,
  me: ChatClient,
  commands: Readonly<Record<Name, string>>,
): Promise<Record<Name, string>> {
  const folder = path.join(host.box.root, 'said');
  mkdirSync(folder, { recursive: true });
  const names = Object.keys(commands) as Name[];
  const line = names
    .map((name) => `${commands[name]} > ${folder}/${name} 2>${folder}/${name}.err`)
    .join('; ');
  const done = path.join(folder, `done-${names.join('-')}`);
  host.issuer.model.commands.push(`${line}; touch ${done}`);
  // A message that comes while the run before it is being put away is answered under another run's name.
  await me.say(CHAT, 'please');
  await until('the agent has run them', () => existsSync(done), 120_000);
  const read = (name: Name) => readFileSync(path.join(folder, name), 'utf8');
  return Object.fromEntries(names.map((name) => [name, read(name)])) as Record<Name, string>;
}

function parse(text: string): JsonDocument {
  return JSON.parse(text);
}
