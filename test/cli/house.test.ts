import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { makeState } from '../kit/state.js';
import { loginOf } from '../kit/tokens.js';
import { machine } from './machine.js';

const codes = (json: { findings: { code: string }[] }) => json.findings.map(({ code }) => code).sort();

t.test(
  'a vault that cannot be opened is one finding: the rest is looked at, and the exit is that failure',
  async (t) => {
    const it = machine(t);
    const state = makeState(it.box.stateDir, { release: '2026.5.7', slot: null });
    const none = await it.run(['doctor', '--json']);
    t.match(none, { code: 5, json: { ok: true, inDanger: false } });
    t.strictSame(codes(none.json), ['VAULT_MISSING']);
    t.notOk(existsSync(it.box.routerHome), 'looking makes no vault');

    await it.add('work', loginOf('alice'));
    t.equal((await it.run(['use', 'work'])).code, 0);
    const keys = path.join(it.box.env.XDG_CONFIG_HOME ?? '', 'codex-router');
    renameSync(keys, `${keys}-away`);
    chmodSync(path.join(it.box.routerHome, 'records'), 0o755);
    const locked = await it.run(['doctor', '--json']);
    t.equal(locked.code, 5);
    t.strictSame(codes(locked.json), ['HOUSE_OPEN', 'VAULT_CLOSED']);
    const shown = await it.run(['doctor']);
    t.match(shown, { code: 5, stdout: /could not be opened.*key file.*is not there \(KEY_MISSING\)/ });
    t.match(shown.stdout, /put it back, or say where it is with CODEX_ROUTER_KEY_FILE/);
    const mended = await it.run(['doctor', '--fix', '--json']);
    t.strictSame(codes(mended.json), ['VAULT_CLOSED'], 'what needs no key is mended without one');
    t.equal(mended.code, 5);
    renameSync(`${keys}-away`, keys);
    t.match(await it.run(['doctor', '--json']), { code: 0, json: { findings: { length: 0 } } });
    t.ok(state.slot());
  },
);

t.test(
  'doctor --fix puts the house in order, and the vault that a key file kept shut opens again',
  async (t) => {
    const it = machine(t);
    makeState(it.box.stateDir, { release: '2026.5.7', slot: null });
    await it.add('work', loginOf('alice'));
    await it.add('home', loginOf('bob'));
    const data = it.box.routerHome;
    const config = path.join(it.box.env.XDG_CONFIG_HOME ?? '', 'codex-router');
    const keyFile = path.join(config, readdirSync(config)[0] ?? '');
    chmodSync(keyFile, 0o644);
    chmodSync(path.join(data, 'vault.json'), 0o644);
    writeFileSync(path.join(data, 'index.json'), '{', { mode: 0o600 });
    const temporary = path.join(data, '.index.json.01234567-89ab-4cde-8f01-23456789abcd.tmp');
    writeFileSync(temporary, 'half', { mode: 0o600 });
    utimesSync(temporary, new Date(0), new Date(0));
    const lock = path.join(data, 'router.lock');
    mkdirSync(lock, { mode: 0o700 });
    writeFileSync(path.join(lock, `${spawnSync(process.execPath, ['--version']).pid}-12345`), '');
    const before = await it.run(['doctor', '--json']);
    t.match(before, { code: 6, json: { inDanger: true } }, 'the key is open to others');
    t.strictSame(codes(before.json), [
      'HOUSE_OPEN',
      'HOUSE_TEMPORARY',
      'INDEX_DAMAGED',
      'OWN_LOCK_LEFT',
      'VAULT_CLOSED',
    ]);
    const { json, code } = await it.run(['doctor', '--fix', '--json']);
    t.strictSame([json.mended.length, json.failed], [4, []]);
    t.strictSame(
      codes(json),
      ['HOUSE_SET_ASIDE', 'LOGIN_DOUBTFUL', 'LOGIN_DOUBTFUL'],
      'the damaged index is kept, and what it alone knew has to be asked for',
    );
    t.equal(code, 0);
    t.equal(statSync(keyFile).mode & 0o777, 0o600);
    t.notOk(existsSync(temporary) || existsSync(lock));
    t.strictSame((await it.run(['list', '--json'])).json.identities.length, 2);
  },
);
