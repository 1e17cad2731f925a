import path from 'node:path';
import t, { type Test } from 'tap';
import { readJson, SLOT, writeJson } from '../kit/state.js';
import { loginOf, people } from '../kit/tokens.js';
import { type ChatBox, chatBox, HERE } from './chat-machine.js';

const NO_ASKING = { asksBeforeMovingOthers: false };

const trio = () => ({ work: loginOf('alice-team'), home: loginOf('alice'), spare: loginOf('carol') });
const three = (t: Test) => chatBox(t, trio(), { slot: loginOf('bob') });

const inSlot = ({ state }: ChatBox) => state.slot()?.email;
const accountInSlot = ({ state }: ChatBox) => state.slot()?.accountId;
const pinOf = ({ state }: ChatBox, key: string) => state.sessions()[key]?.authProfileOverride;

t.test('use: it asks before others move, switches on a yes, and looks again before it says so', async (t) => {
  const chat = await three(t);
  const untouched = 'agent:main:slack:channel:c0123:thread:1700000000.000100';
  const before = chat.state.sessions();
  writeJson(
    chat.state.paths().sessions,
    { ...before, [untouched]: { ...before[untouched], authProfileOverride: 'anthropic:mine' } },
    '',
  );
  const others = Object.fromEntries(
    Object.entries(chat.state.sessions()).filter(([key]) => !key.includes('1001')),
  );
  const asked = await chat.say('/codex_profile use work');
  t.match(asked.document, { ok: true, result: 'confirm', effective: null });
  t.match(asked.text, /^Switching to work \(alice@example\.test, Team\) moves 3 other chats too\. Do it\?/);
  t.equal(inSlot(chat), people.bob.email, 'nothing is switched by asking');

  const done = await chat.say('/codex_profile yes');
  t.match(done.document, {
    ok: true,
    result: 'switched',
    session: HERE,
    effective: 'no-gateway',
    pinsPending: false,
  });
  t.match(done.text, /^work \(alice@example\.test, Team\) is active here/);
  t.match(done.text, /5 h: 62 % left, week: 88 % left\. .*3 other chats use this slot and move too\./);
  t.match(
    done.text,
    /^Checked: the slot holds it, this chat's pin is on it, 1 of 1 companion entries synced, no gateway is running\.$/m,
  );
  t.equal(accountInSlot(chat), people['alice-team'].accountId);
  t.equal(pinOf(chat, HERE), SLOT);
  t.equal(pinOf(chat, 'agent:main:telegram:slash:1001'), SLOT, 'its companion');
  const after = Object.fromEntries(
    Object.entries(chat.state.sessions()).filter(([key]) => !key.includes('1001')),
  );
  t.strictSame(after, others, 'every other chat is byte for byte as it was');

  const again = await chat.say('/codex_profile yes');
  t.match(again, { code: 2, document: { ok: false, error: { code: 'USAGE' } } }, 'a yes counts once');
  t.equal(
    (await chat.say('/codex_profile use work')).document.result,
    'already-active',
    'and nothing moves then',
  );
});

t.test('a yes counts only from who was asked, there, in time, and for what was asked', async (t) => {
  const chat = await three(t);
  const stays = async (text: string, changes: Record<string, unknown>, why: string) => {
    const said = await chat.say(text, changes);
    t.match(said, { code: 2, document: { ok: false, error: { code: 'USAGE' } } }, why);
    t.equal(inSlot(chat), people.bob.email, why);
  };
  const asked = await chat.say('/codex_profile use work');
  await stays('/codex_profile yes', { sender: 'telegram:default:2002' }, 'a stranger in the same chat');
  await stays('/codex_profile yes', { chat: 'telegram:default:-55' }, 'the same person elsewhere');
  await stays('/codex_profile yes', { sender: null }, 'nobody known');
  await stays('/codex_usage yes', {}, 'an answer to another command');
  await stays('codex_profile_yes_aaaaaaaa', {}, 'a button of another question');

  const file = path.join(chat.box.routerHome, 'chat-state.json');
  const content = readJson(file) as { questions: { at: number }[] };
  for (const question of content.questions) question.at -= 121_000;
  writeJson(file, content);
  await stays('/codex_profile yes', {}, 'later than two minutes');

  await chat.say('/codex_profile use work');
  const later = await chat.say('/codex_profile use home');
  await stays(asked.document.buttons[0][0].data, {}, 'the button of an earlier question');
  t.equal((await chat.say('/codex_profile no')).document.result, 'declined');
  await stays(later.document.buttons[0][0].data, {}, 'what was declined');

  // Between question and answer another chat joined: more would move than was said.
  const joined = await chat.say('/codex_profile use home');
  t.match(
    joined.text,
    /\/codex_profile yes [a-z2-7]{8} or/,
    'an earlier answer that comes once more is none',
  );
  await stays('/codex_profile yes', {}, 'without the word of this question');
  writeJson(
    chat.state.paths().sessions,
    { ...chat.state.sessions(), 'agent:main:signal:direct:9': { sessionId: 'x', updatedAt: Date.now() } },
    '',
  );
  const more = await chat.say(joined.document.buttons[0][0].data);
  t.match(more, { document: { result: 'confirm' }, text: /^Things have changed.*5 other chats/ });
  t.equal(inSlot(chat), people.bob.email);
  t.equal(
    (await chat.say(more.document.buttons[0][0].data)).document.result,
    'switched',
    'the button of the last one',
  );
  t.equal(accountInSlot(chat), people.alice.accountId);
});

t.test('a number stands for who it was shown for, to whom it was shown, and for no other menu', async (t) => {
  const chat = await three(t);
  t.match(await chat.say('/codex_profile use 2', NO_ASKING), {
    code: 3,
    document: { error: { code: 'IDENTITY_NOT_FOUND' } },
    text: /\/codex_profile shows a new menu/,
  });
  const menu = await chat.say('/codex_profile');
  t.match(menu.text, /^1\. work .*\n2\. home .*\n3\. spare /m);
  t.strictSame(
    menu.document.buttons.flat().map(({ text }: { text: string }) => text),
    ['1. work', '2. home', '3. spare'],
  );
  await chat.run(['remove', 'work', '--yes']);
  const gone = await chat.say('/codex_profile use 1', NO_ASKING);
  t.equal(
    gone.document.error?.code,
    'IDENTITY_NOT_FOUND',
    'who was removed is nobody, and no other moves up',
  );
  t.equal((await chat.say('/codex_profile use 2', { ...NO_ASKING, sender: 'telegram:default:7' })).code, 3);
  t.equal((await chat.say('/codex_profile use 9', NO_ASKING)).code, 3);
  t.equal(inSlot(chat), people.bob.email);
  await chat.say('/codex_profile use 2', NO_ASKING);
  t.equal(accountInSlot(chat), people.alice.accountId);

  const data: string[] = (await chat.say('/codex_profile')).document.buttons
    .flat()
    .map((button: { data: string }) => button.data);
  t.ok(
    data.every((one) => /^codex_profile_use_[a-z2-7]{8}$/.test(one) && one.length <= 63),
    data.join(' '),
  );
  await chat.say(data[1] ?? '', NO_ASKING);
  t.equal(accountInSlot(chat), people.carol.accountId, 'a button names an identity');

  const file = path.join(chat.box.routerHome, 'chat-state.json');
  const content = readJson(file) as { menus: { at: number }[] };
  for (const one of content.menus) one.at -= 16 * 60_000;
  writeJson(file, content);
  t.equal((await chat.say('/codex_profile use 1', NO_ASKING)).code, 3, 'a menu of a quarter of an hour ago');
});

t.test('two chats that switch at the same moment end in one consistent state', async (t) => {
  const chat = await three(t);
  const there = 'agent:main:discord:channel:555';
  const changes = { ...NO_ASKING, session: there, chat: 'discord:default:555', sender: 'discord:default:5' };
  const said = await Promise.all([
    chat.say('/codex_profile use work', NO_ASKING),
    chat.say('/codex_profile use home', changes),
  ]);
  for (const { code, text } of said) t.equal(code, 0, text);
  const winner = accountInSlot(chat);
  const accounts = [people['alice-team'].accountId, people.alice.accountId];
  t.ok(accounts.includes(winner as never), 'the slot holds one of the two, whole');
  const last = said[accounts.indexOf(winner as never)];
  t.equal(last?.document.result, 'switched', 'whoever came last says so truly');
  t.equal(pinOf(chat, HERE), SLOT);
  t.equal(pinOf(chat, there), SLOT);
  const { json } = await chat.run(['history', '--json']);
  t.strictSame(
    json.switches.map(({ step }: { step: string }) => step),
    ['done', 'done'],
  );
  t.match((await chat.run(['doctor', '--json'])).json, { inDanger: false });
  const looked = await chat.say('/codex_profile', changes);
  t.match(looked.text, new RegExp(`^${winner === accounts[0] ? 'work' : 'home'} .* is active here`));
});
