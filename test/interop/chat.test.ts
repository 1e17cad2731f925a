import { readdirSync } from 'node:fs';
import t, { type Test } from 'tap';
import { findCanary } from '../kit/canary.js';
import { type ChatClient, type ChatHost, chatHost } from '../kit/chat-host.js';
import { ANSWER, QUESTION, rowOf, settled, switched, waysTo } from '../kit/chat-switch.js';
import { sessionOf, TELEGRAM_OWNER } from '../kit/chat-telegram.js';
import { everyReleaseAsked, type Release, releasesToRun } from '../kit/releases.js';
import { leaksOf } from '../kit/router.js';
import { CANARY, type Login, people } from '../kit/tokens.js';

/** One of each era that has the plugin API; where time is short, one of files and one of databases. */
const ERAS: readonly Release[] = everyReleaseAsked
  ? ['2026.3.28', '2026.5.7', '2026.7.35', '2026.9.6']
  : ['2026.5.7', '2026.9.6'];
const MAIN = 'agent:main:main';
const OTHER = 'agent:main:other';
const DIRECT = sessionOf();
const SLASH = `agent:main:telegram:slash:${TELEGRAM_OWNER}`;
const STRANGER = 2002;

interface Scene {
  readonly host: ChatHost;
  readonly me: ChatClient;
  readonly work: Login;
  readonly own: Login;
  /** Whose login is in the slot, by e-mail. */
  slot(): string | null;
}

for (const release of ERAS.filter((one) => releasesToRun().includes(one))) {
  t.test(`${release}: logins are switched from its chats`, async (t) => {
    // 2026.3.28 never tells a plugin who the owner is, so that one has to be listed; elsewhere nobody is, which is the owner.
    const settings = release === '2026.3.28' ? { allowSenders: ['owner', `telegram:${TELEGRAM_OWNER}`] } : {};
    const host = await chatHost(t, release, { settings });
    if (host === null) return;
    const work = host.issuer.mint(people['bob-team'], { expiresAt: Date.now() + 9 * 86_400_000 });
    const own = host.issuer.mint(people.bob, { expiresAt: Date.now() + 8 * 86_400_000 });
    t.match(await host.add(work, '--alias', 'work'), { ok: true });
    t.match(await host.add(own, '--alias', 'private'), { ok: true });
    await host.start();
    const me = await host.owner();
    const slot = () => {
      const email = host.state.slot()?.email;
      return typeof email === 'string' ? email : null;
    };
    const scene: Scene = { host, me, work, own, slot };

    await t.test('the chat that asks is switched, and no other chat’s pin', (t) => fromWebchat(t, scene));
    await t.test('a Telegram chat is switched by a command and by a button', (t) => fromTelegram(t, scene));
    await t.test('a slash command of the host’s dispatcher switches the chat it targets', (t) =>
      fromSlash(t, scene),
    );
    await t.test('nobody else is answered or changes anything', (t) => fromOthers(t, scene));
    await t.test('hostile text changes nothing and is not kept', (t) => fromHostile(t, scene));
    await t.test('a login is made in a direct chat, and is nobody’s before it was seen', (t) =>
      fromLogin(t, scene),
    );
    await t.test('two chats that switch at the same moment end in one state', (t) => atOnce(t, scene));

    await host.stop();
    t.match(
      await host.run(['doctor']),
      { ok: true, inDanger: false, findings: [] },
      'nothing is left to mend',
    );
    t.strictSame(host.state.integrity(), []);
    t.strictSame(host.issuer.reuses(), []);
    t.strictSame(findCanary([], { strings: { log: host.log() } }), []);
    t.strictSame(leaksOf(host.box), []);
  });
}

async function fromWebchat(t: Test, { host, me, work, slot }: Scene): Promise<void> {
  const { state, release } = host;
  const say = async (text: string) => (await me.say(MAIN, text)).text;
  // The model as it is, on another login: a pin that a person made.
  t.match(await me.say(OTHER, `/model ${modelOf(host)}@${state.neighbourId}`), { text: /carol@/ });
  t.match(await host.turn(me, OTHER), { email: people.carol.email });
  t.match(await host.turn(me, MAIN), { email: people.alice.email });
  const before = await settled(host, OTHER);

  const first = await say('/codex_profile use work');
  if (release === '2026.3.28') {
    t.match(first, /[Ww]hich chat this is could not be told/, 'its browser chat has no name');
    t.equal(slot(), people.alice.email);
    return;
  }
  t.match(first, /^Switching to work \(.*Team\) moves .* too\. Do it\?/, 'others move too');
  t.equal(slot(), people.alice.email, 'nothing before the answer');
  t.match(await say('/codex_profile yes'), /^work \(.*Team\) is active here/);
  const answer = await switched(say, waysTo(work, 'work').slice(1));
  t.match(answer, /^work \(.*Team\) is active here already\./);
  t.match(answer, /Checked: the slot holds it, this chat's pin is on it.*the gateway took it/);
  t.notMatch(answer, CANARY);
  t.equal(slot(), people['bob-team'].email);
  t.match(state.sessions()[MAIN], {
    authProfileOverride: state.traits.slot,
    authProfileOverrideSource: 'user',
  });

  t.match(await host.turn(me, MAIN), { email: people['bob-team'].email, accountId: work.accountId });
  t.equal(rowOf(host, OTHER), before, 'the other chat’s entry is as it was');
  t.match(await host.turn(me, OTHER), { email: people.carol.email }, 'and so is its account');
}

async function fromTelegram(t: Test, { host, own, work, slot }: Scene): Promise<void> {
  const { state, telegram } = host;
  const say = async (text: string) => {
    const sent = await telegram.ask(text, /Do it\?|is active|in the slot|Nothing|cannot|could not|\?$/);
    return sent.at(-1)?.text ?? '';
  };
  const answer = await switched(say, waysTo(own, 'private'));
  t.match(answer, /^private \(.*Pro\) is active here/, answer);
  t.equal(slot(), people.bob.email);
  t.match(state.sessions()[DIRECT], {
    authProfileOverride: state.traits.slot,
    authProfileOverrideSource: 'user',
  });
  t.match(state.sessions()[SLASH], { authProfileOverride: state.traits.slot }, 'its companion too');
  t.match((await telegram.ask('hello there', /^pong/)).at(-1)?.text, new RegExp(` for ${people.bob.email}$`));

  const menu = await telegram.ask('/codex_profile', /private.*is active here/);
  const { text, buttons } = menu.at(-1) ?? { text: '', buttons: [] };
  t.match(text, /^\d\. work \(/m, 'a numbered menu for where there are no buttons');
  for (const { data } of buttons) {
    t.match(data, /^codex_profile_/);
    t.ok(Buffer.byteLength(data) <= 64, data);
  }
  const button = buttons.find((one) => /\bwork$/.test(one.text));
  t.ok(button, 'and a button for each', { buttons });
  let pressed = (await telegram.press(button?.data ?? '', /Do it\?|is active/)).at(-1);
  const yes = pressed?.buttons.find((one) => /yes/i.test(one.data));
  if (yes) pressed = (await telegram.press(yes.data, /is active/)).at(-1);
  t.match(pressed?.text, /work \(.*Team\) is active here/);
  t.equal(slot(), people['bob-team'].email);

  const numbered = /^(\d)\. private/m.exec(text)?.[1] ?? '';
  const byNumber = await switched(say, [numbered, ...waysTo(own, 'private')]);
  t.match(byNumber, /^private .*is active here/);
  t.equal(slot(), people.bob.email);
  t.match(await switched(say, waysTo(work, 'work')), /^work .*is active here/);
}

/** As facts: openclaw-json.md section 4 (e16) has it: the message is kept under one key and means another. */
async function fromSlash(t: Test, { host, me, own, slot }: Scene): Promise<void> {
  const { state } = host;
  const from = `telegram:${TELEGRAM_OWNER}`;
  let serial = 0;
  const say = async (text: string) => {
    serial += 1;
    const ctx = {
      ...{ Body: text, BodyForAgent: text, RawBody: text, CommandBody: text },
      ...{ From: from, To: `slash:${TELEGRAM_OWNER}`, ChatType: 'direct', ConversationLabel: 'Alice' },
      ...{ SenderName: 'Alice', SenderId: String(TELEGRAM_OWNER), Surface: 'telegram', Provider: 'telegram' },
      ...{ MessageSid: `s${serial}`, Timestamp: Date.now(), WasMentioned: true, CommandAuthorized: true },
      ...{
        CommandSource: 'native',
        AccountId: 'default',
        OriginatingChannel: 'telegram',
        OriginatingTo: from,
      },
      ...{ SessionKey: SLASH, CommandTargetSessionKey: DIRECT },
    };
    const { sent } = await me.call('probe.receive', { ctx });
    return sent.map((one: { text?: string }) => one.text ?? '').join('\n');
  };
  const answer = await switched(say, waysTo(own, 'private'));
  t.match(answer, /^private .*is active here/, answer);
  t.equal(slot(), people.bob.email);
  t.match(state.sessions()[DIRECT], {
    authProfileOverride: state.traits.slot,
    authProfileOverrideSource: 'user',
  });
}

async function fromOthers(t: Test, { host, slot }: Scene): Promise<void> {
  const { telegram } = host;
  const before = [slot(), JSON.stringify(host.state.sessions()[DIRECT])];
  const guest = await host.guest();
  const heard = await guest.say(MAIN, '/codex_profile use work');
  t.notMatch(heard.text, /work|private|active|slot/i, 'no right of the owner, no answer of ours');
  await telegram.write('/codex_profile use work', { from: STRANGER });
  await telegram.write('/codex_usage', { from: STRANGER });
  await telegram.write('/codex_auth', { from: STRANGER });
  // What comes after them is answered, so they would have been by now.
  await telegram.ask('/codex_profile explain', ANSWER);
  for (const { text } of telegram.sentTo({ from: STRANGER }))
    t.notMatch(text, /work|private|is active|log in|left/i);
  t.strictSame([slot(), JSON.stringify(host.state.sessions()[DIRECT])], before);
}

const HOSTILE = [
  'use $(touch pwned)',
  'use `touch pwned`; touch pwned | touch pwned && touch pwned > pwned',
  "use work' --force --state-dir=/ --key=file",
  'use --session=agent:main:other work',
  'use ../../../etc/passwd',
  `use ${'w'.repeat(7000)}`,
  'use w\u200bork',
  'use \u202ekrow',
  'use ｗｏｒｋ',
  'use wоrk',
  'use work\u0000private',
  `use http://localhost:1455/auth/callback?code=ac_${CANARY}x&state=${CANARY}y`,
];

async function fromHostile(t: Test, { host, me, slot }: Scene): Promise<void> {
  const { telegram, box, state } = host;
  const before = [slot(), rowOf(host, DIRECT), rowOf(host, OTHER), filesOf(host)];
  for (const text of HOSTILE) {
    const sent = await telegram.ask(`/codex_profile ${text}`, ANSWER);
    const answer = sent.map((one) => one.text).join('\n');
    t.notMatch(answer, QUESTION, text.slice(0, 60));
    t.notMatch(answer, /is active|in the slot/, text.slice(0, 60));
    t.ok(answer.length < 700, `one line for ${text.slice(0, 40)}`);
    t.notMatch(answer, CANARY, 'a callback address is not repeated');
  }
  const state2 = `http://localhost:1455/auth/callback?code=ac_${CANARY}x&state=${CANARY}y`;
  const foreign = await telegram.ask(`/codex_auth finish ${state2}`, ANSWER);
  t.notMatch(foreign.map((one) => one.text).join('\n'), CANARY);
  t.ok(
    telegram.calls.some(({ method }) => method === 'deleteMessage') ||
      /[Dd]elete/.test(foreign.map((one) => one.text).join('\n')),
    'the message is deleted, or that is asked for',
  );
  t.strictSame([slot(), rowOf(host, DIRECT), rowOf(host, OTHER), filesOf(host)], before);
  t.strictSame(host.issuer.of('login'), [], 'and no code was spent');
  t.strictSame(findCanary([], { strings: { log: host.log() } }), []);
  const history = await me.call('chat.history', { sessionKey: DIRECT }).catch(() => null);
  t.strictSame(findCanary([], { strings: { history: JSON.stringify(history) ?? '' } }), []);
  t.strictSame(findCanary([], { strings: { sessions: JSON.stringify(state.sessions()) } }), []);
  t.strictSame(leaksOf(box), []);
}

async function fromLogin(t: Test, { host, slot }: Scene): Promise<void> {
  const { telegram, issuer, run } = host;
  const before = slot();
  const said = async (text: string, answer: RegExp, room: 'direct' | 'topic' = 'direct') =>
    (await telegram.ask(text, answer, { room })).at(-1)?.text ?? '';
  const stored = async () => {
    const { identities } = await run(['list']);
    return identities.some((one: { userId: string }) => one.userId === people.carol.userId);
  };
  t.match(await said('/codex_auth new carol', ANSWER, 'topic'), /direct chat/, 'others read along there');
  t.strictSame(issuer.of('usercode'), [], 'and nothing was begun');

  issuer.approveAs(people.carol);
  const begun = await said('/codex_auth new carol', /codex_auth finish/);
  t.match(begun, /^TEST-\w+$/m, 'a code to type in');
  t.notMatch(begun, CANARY);
  const shown = await said('/codex_auth finish', /Keep it\?/);
  t.match(shown, new RegExp(`logged in as ${people.carol.email}`));
  t.notOk(await stored(), 'not before the word of who began it');
  t.match(await said('/codex_auth keep', ANSWER), /^carol .* is stored/);
  t.ok(await stored());
  t.equal(slot(), before, 'and it is not made active');
}

async function atOnce(t: Test, { host, me, work, own, slot }: Scene): Promise<void> {
  const { telegram, state } = host;
  const byWeb = (text: string) => me.say(MAIN, text).then((heard) => heard.text);
  const byTelegram = async (text: string) =>
    (await telegram.ask(text, /Do it\?|is active|in the slot|was there|busy|again/i)).at(-1)?.text ?? '';
  if (host.release === '2026.3.28') {
    t.pass('its browser chat has no name');
    return;
  }
  const answers = await Promise.all([
    switched(byWeb, waysTo(work, 'work')),
    switched(byTelegram, waysTo(own, 'private')),
  ]);
  const winner = slot();
  t.ok([work.email, own.email].includes(String(winner)), String(winner));
  for (const answer of answers)
    t.match(answer, /is active|another switch came in between|in the slot|busy/, answer);
  const { identities } = await host.run(['list']);
  for (const login of [work, own]) {
    t.ok(
      identities.some(
        (one: { userId: string; accountId: string }) =>
          one.userId === login.userId && one.accountId === login.accountId,
      ),
      `${login.email} is stored`,
    );
  }
  for (const key of [MAIN, DIRECT])
    t.match(state.sessions()[key], { authProfileOverride: state.traits.slot });
  t.match(await host.turn(me, MAIN), { email: winner });
}

/** The names of all files where something could have been made. */
function filesOf({ box }: ChatHost): string {
  const names = [box.home, box.tmp].flatMap((folder) => readdirSync(folder, { recursive: true }).map(String));
  return JSON.stringify(names.filter((name) => /pwned/.test(name)));
}

function modelOf({ state }: ChatHost): string {
  return `${state.traits.provider}/gpt-5.4`;
}
