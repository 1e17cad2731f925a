import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { type ChatClient, chatHost } from '../kit/chat-host.js';
import { switched, waysTo } from '../kit/chat-switch.js';
import { releasesToRun } from '../kit/releases.js';
import { leaksOf, router, type Sandbox } from '../kit/router.js';
import { type SecretService, secretService } from '../kit/secret-service.js';
import { DAY, people } from '../kit/tokens.js';

const MAIN = 'agent:main:main';
const RELEASE = '2026.9.6';
const ONE_SENTENCE = /^[^\n]{20,300}$/;
/** A gateway whose event loop stood still would answer a handful before and after. */
const ENOUGH = 20;

/** The vault of these tests is unlocked by a real Secret Service on a bus of its own. */
async function withKeychain(t: Test, env: (box: Sandbox) => Readonly<Record<string, string | undefined>>) {
  let keychain: SecretService | null = null;
  let settings: Readonly<Record<string, string | undefined>> = {};
  const host = await chatHost(t, RELEASE, {
    key: 'keychain',
    settings: { askBeforeMovingOthers: false },
    before: async (box) => {
      keychain = await secretService(t, box);
      settings = env(box);
      return keychain !== null;
    },
    env: () => settings,
  });
  if (host === null || keychain === null) return null;
  const work = host.issuer.mint(people['bob-team'], { expiresAt: Date.now() + 9 * DAY });
  const own = host.issuer.mint(people.bob, { expiresAt: Date.now() + 8 * DAY });
  t.match(await host.add(work, '--alias', 'work'), { ok: true });
  t.match(await host.add(own, '--alias', 'private'), { ok: true });
  await host.start();
  return { host, keychain: keychain as SecretService, work, own, me: await host.owner() };
}

interface Asked<T> {
  readonly answer: T;
  /** How many other questions the gateway answered before `work` was done. */
  readonly answered: number;
  /** ms: the longest delay of its event loop meanwhile. */
  readonly max: number;
}

async function askedDuring<T>(me: ChatClient, work: () => Promise<T>): Promise<Asked<T>> {
  await me.call('probe.delay');
  let isOver = false;
  const working = work().finally(() => {
    isOver = true;
  });
  working.catch(() => undefined);
  let answered = 0;
  let max = 0;
  while (!isOver) {
    max = Math.max(max, (await me.call('probe.delay')).max);
    if (!isOver) answered += 1;
    await pause(20);
  }
  return { answer: await working, answered, max };
}

if (releasesToRun().includes(RELEASE)) {
  t.test('a keychain that does not answer holds up nobody else in the gateway', async (t) => {
    const there = await withKeychain(t, () => ({}));
    if (there === null) return;
    const { host, keychain, me, work, own } = there;
    const say = async (text: string) => (await me.say(MAIN, text)).text;
    await host.turn(me, MAIN);
    t.match(await switched(say, waysTo(work, 'work')), /^work .*is active here/);

    // The same work with a keychain that answers is what this machine makes of it today.
    const usual = await askedDuring(me, () => switched(say, waysTo(own, 'private')));
    t.match(usual.answer, /^private .*is active here/);
    await keychain.hang();
    const hung = await askedDuring(me, () => say('/codex_profile use work'));
    keychain.resume();
    t.match(hung.answer, /keychain does not answer/);
    t.match(hung.answer, ONE_SENTENCE, 'one line with the next step');
    t.comment(`event loop: ${hung.max.toFixed(0)} ms at most, answering keychain ${usual.max.toFixed(0)} ms`);
    t.ok(hung.answered >= ENOUGH, `the gateway answered ${hung.answered} others meanwhile`);
    t.equal(host.state.slot()?.email, people.bob.email, 'nothing was changed');
    t.match(await say('/codex_profile use "work"'), /^work .*is active here/, 'and it works again');
    t.strictSame(leaksOf(host.box), []);
  });

  t.test('a service without a session bus says what it lacks, and works once it has it', async (t) => {
    const there = await withKeychain(t, (box) => {
      const credentials = path.join(box.root, 'credentials');
      mkdirSync(credentials, { mode: 0o700 });
      return {
        DBUS_SESSION_BUS_ADDRESS: undefined,
        XDG_RUNTIME_DIR: undefined,
        CODEX_ROUTER_KEY: undefined,
        CREDENTIALS_DIRECTORY: credentials,
      };
    });
    if (there === null) return;
    const { host, me, work } = there;
    const say = async (text: string) => (await me.say(MAIN, text)).text;
    const trouble = await say('/codex_profile use work');
    t.match(trouble, /keychain cannot be reached/);
    t.match(trouble, /docs\/chat\.md/, 'where the next step is');
    t.match(trouble, ONE_SENTENCE);
    t.equal(host.state.slot()?.email, people.alice.email);

    // As the person does in their own session: the unit's credential, and the vault told to use it.
    const credentials = path.join(host.box.root, 'credentials');
    writeFileSync(path.join(credentials, 'codex-router.key'), `${randomBytes(32).toString('base64')}\n`, {
      mode: 0o400,
    });
    const env = { CREDENTIALS_DIRECTORY: credentials };
    const rekeyed = await router(host.box, ['vault', 'rekey', '--to', 'credential', '--json'], { env });
    t.match(rekeyed.json, { ok: true });
    t.match(await switched(say, waysTo(work, 'work').slice(1)), /^work .*is active here/);
    t.match(await host.turn(me, MAIN), { email: people['bob-team'].email });
    t.strictSame(leaksOf(host.box), []);
  });
}
