import { readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { sandbox } from '../kit/router.js';
import { secretService } from '../kit/secret-service.js';
import { SLOT } from '../kit/state.js';
import { codexAuthJson, loginOf, people } from '../kit/tokens.js';
import { type ChatBox, chatBox, HERE } from './chat-machine.js';

const NO_ASKING = { asksBeforeMovingOthers: false };

const pair = () => ({ work: loginOf('alice-team'), home: loginOf('alice') });
const two = (t: Test) => chatBox(t, pair(), { slot: loginOf('bob') });

const listed = async ({ run }: ChatBox): Promise<string[]> =>
  (await run(['list', '--json'])).json.identities.map(({ alias }: { alias: string }) => alias);

t.test(
  'usage begins with a menu that asks no server, then tells of one, of all, of who is active',
  async (t) => {
    const chat = await two(t);
    const menu = await chat.say('/codex_usage');
    t.match(menu, { document: { result: 'menu' }, text: /^Whose limits\?\n1\. work .*\n2\. home / });
    t.match(menu.document.buttons[0], [{ data: 'codex_usage_active' }, { data: 'codex_usage_all' }]);
    t.strictSame(chat.backend.questions, []);
    const one = await chat.say('/codex_usage 2');
    t.match(
      one.text,
      /^home \(alice@example\.test, Plus\)\n5 h: 62 % left, resets in .*\nweek: 88 % left, resets in /,
    );
    t.equal(chat.backend.questions.length, 1);
    const { accountId, userId } = people.bob;
    chat.backend.answer({ ...people.bob }, { status: 401, body: { detail: 'CANARY' } });
    const all = await chat.say('/codex_usage all');
    t.match(all.text, /^work .*\n5 h: 62 % left.*\n\nhome /s);
    const active = await chat.say('codex_usage_active');
    t.match(active.text, /^bob@example\.test \(Pro\)\nThe limits of now are not known: /);
    t.equal(chat.backend.questions.at(-1)?.bearer, `${accountId}/${userId}`);
  },
);

t.test('a server that does not answer keeps no answer back', async (t) => {
  const chat = await two(t);
  for (const person of [people.alice, people.bob]) chat.backend.answer(person, 'hang');
  t.match(
    (await chat.say('/codex_profile')).text,
    /^bob@example\.test \(Pro\), not stored here, is active here\.\n/,
  );
  const done = await chat.say('/codex_profile use home', NO_ASKING);
  t.match(done, { code: 0, document: { result: 'switched' } });
  t.notMatch(done.text, /% left/);
});

t.test(
  'delete: what is active is detached first, what is stored goes only when asked, once, by who was asked',
  async (t) => {
    const chat = await two(t);
    await chat.say('/codex_profile use work', NO_ASKING);
    for (const text of ['/codex_usage delete work', '/codex_usage delete work hard']) {
      const said = await chat.say(text);
      t.match(said, {
        code: 0,
        document: { result: 'preview' },
        text: /^work .* is active: .*Nothing was changed\. Detach it/,
      });
      t.match(said.document.buttons.flat()[0], { text: '1. home', data: /^codex_profile_use_/ });
    }
    await chat.say('/codex_profile use 1', NO_ASKING);
    t.equal(
      chat.state.slot()?.accountId,
      people.alice.accountId,
      'the menu was of those who can take its place',
    );

    const soft = await chat.say('/codex_usage delete work');
    t.match(soft, {
      document: { result: 'preview' },
      text: /in no slot of OpenClaw, so there is nothing to detach/,
    });
    t.ok((await listed(chat)).includes('work'));
    const asked = await chat.say(soft.document.buttons[0][0].data);
    t.match(asked, {
      document: { result: 'confirm' },
      text: /^Forget work .*No other copy of it is known.*not revoked at OpenAI/,
    });
    t.match(await chat.say('/codex_usage yes', { sender: 'telegram:default:2' }), { code: 2 });
    t.match(await chat.say('/codex_profile yes'), { code: 2 }, 'a yes to a switch is none to this');
    t.ok((await listed(chat)).includes('work'));
    t.match(await chat.say('/codex_usage yes'), {
      document: { result: 'removed' },
      text: /^work .* is forgotten here: checked/,
    });
    t.notOk((await listed(chat)).includes('work'));
    t.match(await chat.say('/codex_usage yes'), { code: 2 });
  },
);

t.test('what was logged in again since the question is not what was agreed to', async (t) => {
  const chat = await two(t);
  await chat.say('/codex_usage delete work hard');
  const later = loginOf('alice-team', { issuedAt: Date.now() + 60_000 });
  t.equal((await chat.run(['import', '--from', '-', '--replace'], { input: codexAuthJson(later) })).code, 0);
  t.match(await chat.say('/codex_usage yes'), {
    code: 3,
    document: { error: { code: 'IDENTITY_NOT_FOUND' } },
  });
  t.ok((await listed(chat)).includes('work'));
});

t.test(
  'a keychain that is locked, or hangs, is one sentence of what to do, and changes nothing',
  async (t) => {
    const box = sandbox(t);
    const keychain = await secretService(t, box);
    if (keychain === null) return;
    box.env.CODEX_ROUTER_KEY = 'keychain';
    const chat = await chatBox(t, pair(), { slot: loginOf('bob') }, box);
    await keychain.lock();
    const locked = await chat.say('/codex_profile use work', NO_ASKING);
    t.match(locked, { code: 5, document: { error: { code: 'KEYCHAIN_LOCKED' } } });
    t.match(
      locked.text,
      /^The keychain is locked: unlock it on the computer and ask again, .*docs\/chat\.md\)\.$/,
    );
    t.equal(
      (await chat.say('/codex_profile')).document.result,
      'menu',
      'who is active can be seen all the same',
    );
    await keychain.unlock();
    await keychain.hang();
    const hung = await chat.say('/codex_profile use work', NO_ASKING);
    keychain.resume();
    t.match(hung, {
      code: 5,
      document: { error: { code: 'KEYCHAIN_HUNG' } },
      text: /^The keychain does not answer: /,
    });
    t.equal(chat.state.slot()?.email, people.bob.email);
    t.equal((await chat.say('/codex_profile use work', NO_ASKING)).document.result, 'switched');
  },
);

t.test('a vault with a passphrase says that nobody can type it here', async (t) => {
  const box = sandbox(t);
  const file = path.join(box.root, 'passphrase');
  writeFileSync(file, 'correct horse battery staple\n', { mode: 0o600 });
  Object.assign(box.env, { CODEX_ROUTER_KEY: 'passphrase', CODEX_ROUTER_PASSPHRASE_FILE: file });
  const chat = await chatBox(t, { work: loginOf('alice-team') }, {}, box);
  const without = { env: { CODEX_ROUTER_PASSPHRASE_FILE: undefined } };
  const said = await chat.say('/codex_profile use work', NO_ASKING, without);
  t.match(said, { code: 5, document: { error: { code: 'KEY_MISSING' } } });
  t.match(
    said.text,
    /^The vault needs its passphrase, which nobody can type here\. .*CODEX_ROUTER_PASSPHRASE_FILE/,
  );
});

t.test('on a command line it is the same in words, and no address of a login is taken there', async (t) => {
  const chat = await two(t);
  const use = ['chat', '/codex_profile use work'];
  const nowhere = await chat.run(use);
  t.match(nowhere, {
    code: 3,
    stdout: '',
    stderr: /^Which chat this is could not be told, so nothing was changed/,
  });
  t.equal(chat.state.slot()?.email, people.bob.email, 'the most recent chat is not guessed');
  const asked = await chat.run([...use, '--session', HERE]);
  t.match(asked, { code: 0, stdout: /^Switching to work .*Do it\?/ });
  const yes = await chat.run(['chat', '/codex_profile yes', '--json'], {
    env: { CODEX_ROUTER_SESSION_KEY: HERE },
  });
  t.match(yes.json, { ok: true, result: 'switched', session: HERE });
  t.equal(chat.state.sessions()[HERE]?.authProfileOverride, SLOT);
  const context = JSON.stringify({ sender: { id: '1001' }, chat: { id: '-1001234567890' } });
  const told = await chat.run(['chat', '/codex_profile use home', '--json'], {
    env: { OPENCLAW_CHANNEL_CONTEXT: context },
  });
  t.match(told.json, { result: 'confirm', session: 'agent:main:telegram:group:-1001234567890:topic:42' });
  for (const text of [
    '/codex_auth finish http://localhost:1455/auth/callback?code=x&state=y',
    '/codex_auth finish abcdefgh#ijklmnop',
  ]) {
    const refused = await chat.run(['chat', text, '--json']);
    t.match(refused, { code: 2, json: { ok: false, error: { code: 'USAGE' } } });
    t.notMatch(refused.stdout, /localhost|abcdefgh/);
  }
  t.notOk(readdirSync(chat.box.tmp).length > 0, 'nothing is left in the folder for temporary files');
});

t.test('an agent may look by it; what deletes is for a person, whoever says yes', async (t) => {
  const chat = await two(t);
  const agent = { env: { OPENCLAW_SHELL: 'exec', CODEX_ROUTER_SESSION_KEY: HERE } };
  t.match(await chat.run(['chat', '/codex_profile'], agent), { code: 0, stdout: /is active here/ });
  t.equal((await chat.run(['chat', '/codex_usage delete work'], agent)).code, 0, 'so is what would go');
  const refused = { code: 6, json: { error: { code: 'AGENT_REFUSED' } } };
  for (const text of ['/codex_usage delete work hard', '/codex_profile use work', '/codex_profile undo']) {
    t.match(await chat.run(['chat', text, '--json'], agent), refused, text);
  }
  const person = ['chat', '/codex_usage delete work hard', '--session', HERE];
  t.match(await chat.run(person), { code: 0, stdout: /^Forget work/ });
  t.match(
    await chat.run(['chat', '/codex_usage yes', '--json'], agent),
    { json: { ok: false } },
    'it answers for no person',
  );
  t.ok((await listed(chat)).includes('work'));
  t.equal(chat.state.slot()?.email, people.bob.email);
});
