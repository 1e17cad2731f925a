import { readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { ChatDocument, ChatFailure, ChatRequest } from '../../src/cli/chat/protocol.js';
import { writeJson } from '../kit/state.js';
import { loginOf, people } from '../kit/tokens.js';
import { type ChatBox, chatBox, HERE, requestOf } from './chat-machine.js';

const NO_ASKING = { asksBeforeMovingOthers: false };
const GROUP = {
  isDirect: false,
  session: 'agent:main:telegram:group:-1001234567890:topic:42',
  chat: 'telegram:default:-1001234567890:42',
};

const trio = () => ({ work: loginOf('alice-team'), home: loginOf('alice'), spare: loginOf('carol') });
const three = (t: Test) => chatBox(t, trio(), { slot: loginOf('bob') });

const inSlot = ({ state }: ChatBox) => state.slot()?.email;
const pinOf = ({ state }: ChatBox, key: string) => state.sessions()[key]?.authProfileOverride;

t.test('in a group no e-mail is shown anywhere, also where something is refused', async (t) => {
  const chat = await chatBox(
    t,
    { work: loginOf('alice-team'), _bob: loginOf('bob-team'), _carol: loginOf('carol') },
    { slot: loginOf('bob') },
  );
  const texts = [
    '/codex_profile',
    '/codex_profile use 2',
    '/codex_profile yes',
    '/codex_profile explain',
    '/codex_profile undo',
    '/codex_profile no',
    `/codex_profile use ${people['bob-team'].accountId}`,
    `/codex_profile use ${people.carol.email}`,
    '/codex_profile use nobody@example.test',
    '/codex_usage',
    '/codex_usage all',
    '/codex_usage active',
    '/codex_usage delete 1',
    '/codex_usage delete 1 hard',
    '/codex_usage delete 3 hard',
    '/codex_auth',
  ];
  const seen = new Set<string>();
  for (const text of texts) {
    const { document } = await chat.say(text, GROUP);
    const shown = JSON.stringify(document);
    t.notMatch(shown, /example\.test|@/, text);
    t.notOk(shown.includes(chat.box.root), `${text}: no folder of the computer`);
    seen.add(document.result ?? document.error.code);
  }
  for (const result of ['menu', 'confirm', 'switched', 'explained', 'usage', 'preview', 'IDENTITY_AMBIGUOUS'])
    t.ok(seen.has(result), result);
  const menu = await chat.say('/codex_profile', GROUP);
  t.match(menu.text, /^1\. work \(Team\)/m);
  t.match(menu.text, /^3\. Plus login$/m);
  const shown = await chat.say('/codex_profile', { ...GROUP, showsEmails: true });
  t.match(shown.text, /carol@example\.test/, 'unless it is allowed to');
  t.notMatch(
    readFileSync(path.join(chat.box.routerHome, 'chat-state.json'), 'utf8'),
    /example|1001|agent:|telegram/,
  );
});

t.test('where it cannot be told which chat this is, it says so and changes nothing', async (t) => {
  const chat = await three(t);
  for (const text of ['/codex_profile use work', '/codex_profile undo']) {
    const said = await chat.say(text, {
      ...NO_ASKING,
      session: null,
      sessionWhy: 'this release gives a command no session',
    });
    t.match(said, { code: 3, document: { error: { code: 'SESSION_NOT_FOUND' } } });
    t.match(said.text, /nothing was changed: this release gives a command no session\./);
  }
  const slash = await chat.say('/codex_profile use work', {
    ...NO_ASKING,
    session: 'agent:main:telegram:slash:1001',
  });
  t.match(
    slash,
    { code: 3, document: { error: { code: 'SESSION_NOT_FOUND' } } },
    'no turn runs on a slash entry',
  );
  const sessions = chat.state.sessions();
  writeJson(
    chat.state.paths().sessions,
    { ...sessions, [HERE]: { ...sessions[HERE], authProfileOverride: 'anthropic:mine' } },
    '',
  );
  const pinned = await chat.say('/codex_profile use work', NO_ASKING);
  t.match(pinned, {
    code: 6,
    document: { error: { code: 'SLOT_FOREIGN' } },
    text: /nothing was changed.*anthropic:mine/i,
  });
  t.match((await chat.say('/codex_profile')).text, /^This chat is pinned to anthropic:mine, not to the slot/);
  t.equal(inSlot(chat), people.bob.email);
  const unknown = await chat.say('/codex_profile', { session: null });
  t.match(unknown.text, /bob@example\.test.* is active in OpenClaw\. Which chat this is could not be told\./);
  const fresh = await chat.say('/codex_profile use work', {
    ...NO_ASKING,
    session: 'agent:main:telegram:direct:77',
  });
  t.match(fresh.text, /^This chat is new, and its first turn follows the slot: work/);
  t.notOk('agent:main:telegram:direct:77' in chat.state.sessions(), 'no entry is made for it');
});

t.test('undo asks like a switch, and says who is back', async (t) => {
  const chat = await three(t);
  await chat.say('/codex_profile use work', NO_ASKING);
  t.match(await chat.say('/codex_profile undo'), {
    document: { result: 'confirm' },
    text: /^Undoing the last switch brings bob@example\.test \(Pro\) back\. It moves 4 other chats too\./,
  });
  const done = await chat.say('/codex_profile yes');
  t.match(done.document, { result: 'undone', effective: 'no-gateway' });
  t.match(
    done.text,
    /^bob@example\.test \(Pro\) is active again.*\nChecked: the slot holds it, this chat is not pinned/s,
  );
  t.equal(inSlot(chat), people.bob.email);
  t.equal(pinOf(chat, HERE), undefined);
  t.match(await chat.say('/codex_profile undo'), {
    code: 3,
    document: { error: { code: 'NOTHING_TO_UNDO' } },
  });
  for (const name of ['work', 'home', 'spare']) await chat.say(`/codex_profile use ${name}`, NO_ASKING);
  t.equal((await chat.say('/codex_profile undo', NO_ASKING)).document.result, 'undone');
  const twice = await chat.say('/codex_profile undo', NO_ASKING);
  t.match(twice, {
    document: { result: 'confirm' },
    text: /^A switch has just been undone\. Undoing the one before/,
  });
  t.equal(
    chat.state.slot()?.accountId,
    people.alice.accountId,
    'a message that is delivered twice undoes once',
  );
  t.equal((await chat.say(twice.document.buttons[0][0].data, NO_ASKING)).document.result, 'undone');
  t.equal(chat.state.slot()?.accountId, people['alice-team'].accountId);
});

t.test('a request that is none is answered with one document all the same', async (t) => {
  const chat = await three(t);
  const odd: readonly [string, string][] = [
    ['nothing', ''],
    ['no JSON', 'use work'],
    ['a list', '[]'],
    ['of a later version', JSON.stringify({ ...requestOf('/codex_profile'), schemaVersion: 2 })],
    ['without a chat', JSON.stringify({ ...requestOf('/codex_profile'), chat: undefined })],
    ['a text past the limit', JSON.stringify(requestOf(`/codex_profile use ${'x'.repeat(8001)}`))],
    ['far too long', JSON.stringify(requestOf('x'.repeat(300_000)))],
  ];
  for (const [why, input] of odd) {
    const ran = await chat.run(['chat', '--stdin', '--json'], { input });
    t.match(
      { code: ran.code, json: ran.json },
      { code: 2, json: { ok: false, error: { code: 'USAGE' } } },
      why,
    );
    t.ok(ChatFailure.safeParse(ran.json).success, why);
  }
  const flags = await chat.run(['chat', '--stdin', '--frobnicate'], { input: '' });
  t.equal(JSON.parse(flags.stdout).error.code, 'USAGE', 'also for a flag it does not know');
  const both = await chat.run(['chat', '/codex_profile', '--stdin'], {
    input: JSON.stringify(requestOf('/codex_profile')),
  });
  t.equal(JSON.parse(both.stdout).ok, false);
  const secret = await chat.say(
    '/codex_profile http://localhost:1455/auth/callback?code=CANARY&state=CANARY',
  );
  t.match(
    secret.document,
    { ok: false, dropsMessage: true },
    'an address in the wrong place is to be deleted too',
  );
  t.ok(ChatRequest.safeParse(requestOf('/codex_profile')).success);
  t.ok(ChatDocument.safeParse((await chat.say('/codex_profile')).document).success);
});

t.test(
  'the menus and questions are kept 0600; what cannot be read of them is set aside and said',
  async (t) => {
    const chat = await three(t);
    await chat.say('/codex_profile');
    const file = path.join(chat.box.routerHome, 'chat-state.json');
    t.equal(statSync(file).mode & 0o777, 0o600);
    writeFileSync(file, '{"version":1,"salt":');
    const said = await chat.say('/codex_profile');
    t.match(said, {
      code: 6,
      document: { error: { code: 'RECORD_DAMAGED' } },
      text: /set aside as chat-state\.json\.damaged\. Ask again/,
    });
    t.equal((await chat.say('/codex_profile')).document.result, 'menu', 'and the next one works');
    writeFileSync(file, JSON.stringify({ version: 99 }));
    t.equal((await chat.say('/codex_profile')).document.error?.code, 'VAULT_NEWER');
  },
);
