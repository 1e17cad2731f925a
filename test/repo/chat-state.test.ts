import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { identityKey, parseAccountId, parseUserId } from '../../src/identity.js';
import { withRouterLock } from '../../src/os/lock.js';
import { chatStateIn, MENU_LASTS, QUESTION_LASTS } from '../../src/repo/chat-state.js';

const keyOf = (name: string) => identityKey({ accountId: parseAccountId(name), userId: parseUserId('user') });
const anna = { sender: 'telegram:default:1', chat: 'telegram:default:1' };
const question = { kind: 'use', subject: null, about: 'work', others: 3 };

function room(t: Test) {
  const folder = t.testdir({});
  const clock = { now: 1_000_000_000_000 };
  const open = () =>
    chatStateIn(
      folder,
      (work) => withRouterLock(folder, work),
      () => clock.now,
    );
  return { clock, open, file: path.join(folder, 'chat-state.json') };
}

t.test('a handle is the same for one identity, and another under another salt', async (t) => {
  const [one, other] = [
    room(t).open(),
    chatStateIn(path.join(t.testdirName, 'other'), (work) => work(), Date.now),
  ];
  const handle = await one.handleOf(keyOf('a'));
  t.match(handle, /^[a-z2-7]{8}$/);
  t.equal(await one.handleOf(keyOf('a')), handle);
  t.not(await one.handleOf(keyOf('b')), handle);
  t.not(await other.handleOf(keyOf('a')), handle, 'it tells nothing to who has not this file');
});

t.test(
  'a question is answered once, in time, by who was asked, and by its name if one is given',
  async (t) => {
    const { clock, open } = room(t);
    const state = open();
    const id = await state.ask(anna, question);
    const kinds = ['use'];
    t.equal(await state.takeAnswered({ ...anna, sender: 'x' }, kinds, null), null);
    t.equal(await state.takeAnswered({ ...anna, chat: 'x' }, kinds, null), null);
    t.equal(await state.takeAnswered(anna, ['remove'], null), null);
    t.equal(await state.takeAnswered(anna, kinds, 'aaaaaaaa'), null);
    const [first, second] = await Promise.all(
      [open(), open()].map((one) => one.takeAnswered(anna, kinds, id)),
    );
    t.equal([first, second].filter((found) => found !== null).length, 1, 'two answers at once are one');
    const found = first ?? second;
    t.ok(found?.isAbout('work'));
    t.notOk(found?.isAbout('home'));
    t.equal(found?.others, 3);

    await state.ask(anna, question);
    clock.now += QUESTION_LASTS;
    t.equal(await state.takeAnswered(anna, kinds, null), null, 'too late');
    await state.ask(anna, question);
    clock.now -= QUESTION_LASTS;
    t.equal(
      await state.takeAnswered(anna, kinds, null),
      null,
      'a clock that was set back makes nothing last for ever',
    );
    const earlier = await state.ask(anna, question);
    const later = await state.ask(anna, { ...question, about: 'home' });
    t.equal(
      await state.takeAnswered(anna, kinds, earlier),
      null,
      'a later question takes the place of an earlier one',
    );
    t.ok(await state.hasAnswered(anna));
    t.equal(
      await state.takeAnswered(anna, kinds, null),
      null,
      'an answer that may be an earlier one, delivered again, is none',
    );
    t.ok((await state.takeAnswered(anna, kinds, later))?.isAbout('home'));
  },
);

t.test('menus end, the file stays small, 0600, and names nobody', async (t) => {
  const { clock, open, file } = room(t);
  const state = open();
  const handles = [await state.handleOf(keyOf('a')), await state.handleOf(keyOf('b'))];
  t.equal(await state.menuOf(anna), null);
  await state.showMenu(anna, handles);
  t.strictSame(await state.menuOf(anna), handles);
  t.equal(await state.menuOf({ ...anna, sender: 'other' }), null);
  for (let sender = 0; sender < 120; sender += 1)
    await state.showMenu({ sender: `s${sender}`, chat: 'c' }, handles);
  await state.ask(anna, question);
  const text = readFileSync(file, 'utf8');
  t.ok(text.length < 20_000, `${text.length}`);
  t.equal(statSync(file).mode & 0o777, 0o600);
  t.notMatch(text, /telegram|"s1|user|work/);
  t.equal(await state.menuOf(anna), null, 'the oldest gave way');
  await state.showMenu(anna, handles);
  clock.now += MENU_LASTS;
  t.equal(await state.menuOf(anna), null);
});
