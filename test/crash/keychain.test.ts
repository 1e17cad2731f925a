import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { until } from '../kit/process.js';
import { PROJECT, type RouterOptions, type RouterRun } from '../kit/router.js';
import { readJson } from '../kit/state.js';
import { codexAuthJson, DAY, people } from '../kit/tokens.js';
import { missingTools, type Session, startSession } from '../repo/secret-service.js';
import { faulted, makeRig, type Rig, said } from './rig.js';

const missing = missingTools();
if (missing !== null && process.env.CI) throw new Error(`the real keychain must be tested in CI: ${missing}`);
/** An object each time: tap writes into what it is given. */
const real = () => ({ skip: missing ?? false });

/** No run may take longer, ms: eight seconds are the keychain's, and a busy machine is slow to start Node. */
const LIMIT = 30_000;

interface KeychainRig extends Rig {
  readonly keychain: Session;
  readonly commands: readonly (readonly string[])[];
  /** Each command, in one situation. @returns by the first word of the command */
  each(atOnce: boolean): Promise<Readonly<Record<string, RouterRun>>>;
}

/**
 * A vault whose key is in a real gnome-keyring, in a situation in which every command has something to do: the slot's token was rotated,
 * a switch can be taken back, a login that gave way can be restored.
 */
async function keychainRig(t: Test): Promise<KeychainRig> {
  const keychain = await startSession();
  t.teardown(() => keychain.stop());
  const rig = await makeRig(t, {
    CODEX_ROUTER_KEY: 'keychain',
    DBUS_SESSION_BUS_ADDRESS: String(keychain.env.DBUS_SESSION_BUS_ADDRESS),
  });
  await rig.add('alice', people.alice);
  await rig.add('bob', people.bob);
  await rig.add('carol', people.carol, { issuedAt: Date.now() - DAY });
  await rig.add('carol', people.carol);
  await rig.ok(['use', 'alice']);
  await rig.ok(['use', 'bob']);
  await rig.hostRefreshes();
  const newcomer = codexAuthJson(rig.issuer.mint(people['bob-team']));
  const commands = [
    ['use', 'alice'],
    ['import', '--from', '-', '--alias', 'team'],
    ['refresh', '--all'],
    ['sync'],
    ['undo'],
    ['restore', '1', '--yes'],
    ['vault', 'rekey', '--to', 'file'],
  ];
  return {
    ...rig,
    keychain,
    commands,
    async each(atOnce) {
      const runs: Record<string, RouterRun> = {};
      const run = async (args: readonly string[]) => {
        const options = args[0] === 'import' ? { input: newcomer, timeout: LIMIT } : { timeout: LIMIT };
        runs[args[0] ?? ''] = faulted(await rig.run([...args, '--json'], options));
      };
      if (atOnce) await Promise.all(commands.map(run));
      else for (const args of commands) await run(args);
      return runs;
    },
  };
}

/** Every command ended with this error, changed not one byte anywhere and sent nothing. */
async function allRefused(
  t: Test,
  rig: KeychainRig,
  code: string,
  sentence: RegExp,
  atOnce = true,
): Promise<void> {
  const before = rig.files();
  for (const [command, run] of Object.entries(await rig.each(atOnce))) {
    t.match(
      run,
      { code: 5, json: { error: { code, message: sentence, hint: /./ } } },
      `${command}: ${said(run)}`,
    );
  }
  t.same(rig.files(), before, 'nothing was written, and no lock is left');
  t.equal(rig.issuer.of('refresh').length, 1, 'nothing was sent but by OpenClaw itself');
}

/** All is there, and works, once the keychain is well again. */
async function allWell(t: Test, rig: KeychainRig): Promise<void> {
  await rig.ok(['vault', 'status', '--check']);
  t.same(await rig.lost(['alice', 'bob', 'carol']), []);
}

t.test(
  'a keychain that hangs ends every command at its deadline, and none of them holds a lock meanwhile',
  real(),
  async (t) => {
    const rig = await keychainRig(t);
    rig.keychain.daemon?.kill('SIGSTOP');
    await allRefused(t, rig, 'KEYCHAIN_HUNG', /^the keychain did not answer within 8 s$/);
    rig.keychain.daemon?.kill('SIGCONT');
    await allWell(t, rig);
  },
);

t.test('a locked keychain stops every command before anything is touched', real(), async (t) => {
  const rig = await keychainRig(t);
  rig.keychain.lock();
  // gnome-keyring asks one program after the other to unlock it, so of several at once some would wait to their deadline.
  await allRefused(t, rig, 'KEYCHAIN_LOCKED', /^the keychain is locked$/, false);
  await rig.keychain.restart();
  await allWell(t, rig);
});

t.test(
  'a keychain that denies, dies or was never there: each in its own words, and nothing is lost',
  real(),
  async (t) => {
    const rig = await keychainRig(t);
    const { keychain } = rig;
    keychain.deny('<deny send_interface="org.freedesktop.Secret.Service" send_member="SearchItems"/>');
    await allRefused(t, rig, 'KEYCHAIN_DENIED', /^the keychain is unlocked but denied access$/);
    keychain.deny('');
    // Every helper waits for a stopped daemon by now; it dies under them.
    keychain.daemon?.kill('SIGSTOP');
    setTimeout(() => keychain.daemon?.kill('SIGKILL'), 3000);
    await allRefused(t, rig, 'KEYCHAIN_NO_SERVICE', /^no keychain service answers on the session bus$/);
    await allRefused(t, rig, 'KEYCHAIN_NO_SERVICE', /^no keychain service answers on the session bus$/);
    await keychain.restart();
    const { DBUS_SESSION_BUS_ADDRESS: address = '' } = rig.env;
    rig.env.DBUS_SESSION_BUS_ADDRESS = 'unix:path=/nonexistent/bus';
    await allRefused(t, rig, 'KEYCHAIN_NO_BUS', /there is no session bus here$/);
    rig.env.DBUS_SESSION_BUS_ADDRESS = address;
    await allWell(t, rig);
  },
);

/** Runs a command and does `fault` while the keychain's helper stands at one call of the library, then lets it go on. */
async function during(
  rig: KeychainRig,
  args: readonly string[],
  point: `${'before' | 'after'} ${'getPassword' | 'setPassword' | 'kept' | 'deletePassword'}`,
  fault: () => unknown,
  options: RouterOptions = {},
): Promise<RouterRun> {
  const folder = mkdtempSync(path.join(rig.box.root, 'gate-'));
  const running = rig.run(args, {
    ...options,
    timeout: LIMIT,
    env: {
      NODE_OPTIONS: `--import=${path.join(PROJECT, 'test/crash/keychain-gate.mjs')}`,
      KEYCHAIN_GATE: `${folder} ${point}`,
    },
  });
  const reached = until(
    `${args.join(' ')} is ${point}`,
    () => existsSync(path.join(folder, 'reached')),
    LIMIT,
  );
  const early = running.then((run) => {
    throw new Error(`it ended without being ${point}: ${said(run)}`);
  });
  await Promise.race([reached, early]);
  early.catch(() => undefined);
  await fault();
  writeFileSync(path.join(folder, 'open'), '');
  return faulted(await running);
}

function keyIn(rig: Rig): { readonly kind: string; readonly id: string } | undefined {
  const file = readJson(path.join(rig.box.routerHome, 'vault.json')) as {
    unlockers: { kind: string; id: string }[];
  };
  return file.unlockers[0];
}

const REKEY = ['vault', 'rekey', '--to', 'keychain', '--json'];

t.test(
  'a keychain that locks, hangs or dies half-way through vault rekey leaves one key that opens',
  real(),
  async (t) => {
    const rig = await keychainRig(t);
    const { keychain } = rig;
    const lock = () => keychain.lock();
    const well = async (when: string) => {
      await keychain.restart();
      const check = await rig.run(['vault', 'status', '--check', '--json']);
      t.match(check, { code: 0, json: { check: { opened: true } } }, `${when}: ${said(check)}`);
    };

    const first = keyIn(rig);
    const opened = await during(rig, REKEY, 'after getPassword', lock);
    t.match(opened, { code: 5, json: { error: { code: 'KEYCHAIN_LOCKED' } } }, 'after the vault was opened');
    t.same(keyIn(rig), first);
    await well('locked before the new item');

    const stop = () => keychain.daemon?.kill('SIGSTOP');
    const hung = await during(rig, REKEY, 'before setPassword', stop);
    t.match(hung, { code: 5, json: { error: { code: 'KEYCHAIN_HUNG' } } });
    t.same(keyIn(rig), first);
    // The answer comes after the deadline: the item may be written now, and nobody waits for it.
    keychain.daemon?.kill('SIGCONT');
    const late = await rig.run(['vault', 'status', '--check', '--json']);
    t.match(late, { code: 0, json: { check: { opened: true } } }, said(late));

    const unread = await during(rig, REKEY, 'before kept', lock);
    t.match(unread, { code: 5, json: { error: { code: 'KEYCHAIN_LOCKED' } } }, 'written, and not read back');
    t.same(keyIn(rig), first);
    await well('locked before the new item was read back');

    const die = () => keychain.daemon?.kill('SIGKILL');
    const dead = await during(rig, REKEY, 'before kept', die);
    t.match(dead, { code: 5, json: { error: { code: 'KEYCHAIN_NO_SERVICE' } } });
    t.same(keyIn(rig), first);
    await well('died before the new item was read back');

    const kept = await during(rig, REKEY, 'after kept', lock);
    t.match(kept, {
      code: 0,
      stderr: /the old key in the OS keychain could not be deleted \(it was not found there/,
    });
    t.not(keyIn(rig)?.id, first?.id, 'the item is there and read back: vault.json names it');
    t.match(await rig.run(['use', 'alice', '--json']), { json: { error: { code: 'KEYCHAIN_LOCKED' } } });
    await well('locked before vault.json named the new item');

    const second = keyIn(rig);
    const gone = await during(rig, REKEY, 'after kept', die);
    t.match(gone, { code: 0, stderr: /could not be deleted \(no keychain service/ });
    t.not(keyIn(rig)?.id, second?.id);
    await well('died before vault.json named the new item');

    const file = await during(rig, ['vault', 'rekey', '--to', 'file', '--json'], 'after getPassword', lock);
    t.match(file, { code: 0, stderr: /could not be deleted/, json: { added: 'file' } });
    t.same(await rig.lost(['alice', 'bob', 'carol']), [], 'the locked keychain is not asked any more');
  },
);

t.test(
  'a keychain that locks right after it gave the key stops nothing that has begun, and the next command',
  real(),
  async (t) => {
    const rig = await keychainRig(t);
    const { keychain } = rig;
    for (const args of rig.commands.filter(([command]) => !['import', 'vault'].includes(command ?? ''))) {
      const run = await during(rig, [...args, '--json'], 'after getPassword', () => keychain.lock());
      t.equal(run.code, 0, `${args.join(' ')}: ${said(run)}`);
      const next = await rig.run([...args, '--json']);
      t.match(next, { code: 5, json: { error: { code: 'KEYCHAIN_LOCKED' } } }, `${args.join(' ')} again`);
      await keychain.restart();
    }
    await allWell(t, rig);
  },
);

t.test(
  'a first run whose keychain locks, or that is killed, before vault.json names the key',
  real(),
  async (t) => {
    const rig = await keychainRig(t);
    const { keychain, box } = rig;
    const first = async (home: string, fault: (kill: (signal: NodeJS.Signals) => void) => unknown) => {
      box.env.CODEX_ROUTER_HOME = path.join(box.root, home);
      let kill: (signal: NodeJS.Signals) => void = () => undefined;
      const login = codexAuthJson(rig.issuer.mint(people.bob));
      const onStart = (it: typeof kill) => {
        kill = it;
      };
      const args = ['import', '--from', '-', '--alias', 'bob', '--json'];
      return during(rig, args, 'after kept', () => fault(kill), { input: login, onStart });
    };
    const listed = async () => (await rig.run(['list', '--json'])).json.identities;

    const locked = await first('router-locked', () => keychain.lock());
    t.equal(locked.code, 0, said(locked));
    t.match(await rig.run(['sync', '--json']), { json: { error: { code: 'KEYCHAIN_LOCKED' } } });
    await keychain.restart();
    await rig.ok(['vault', 'status', '--check']);
    t.match(await listed(), [{ alias: 'bob' }]);

    const killed = await first('router-killed', (kill) => kill('SIGKILL'));
    t.equal(killed.signal, 'SIGKILL');
    t.notOk(
      existsSync(path.join(box.root, 'router-killed', 'vault.json')),
      'a key that nobody knows is all it left',
    );
    await rig.ok(['import', '--from', '-', '--alias', 'bob'], {
      input: codexAuthJson(rig.issuer.mint(people.bob)),
    });
    await rig.ok(['vault', 'status', '--check']);
    t.match(await listed(), [{ alias: 'bob' }]);

    box.env.CODEX_ROUTER_HOME = box.routerHome;
    await allWell(t, rig);
  },
);
