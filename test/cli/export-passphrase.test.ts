import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { runProcess } from '../kit/process.js';
import { real } from '../kit/real.js';
import { readJson } from '../kit/state.js';
import { loginOf } from '../kit/tokens.js';
import { listed, machine, PASSPHRASE, secretFile } from './machine.js';

t.test(
  'a passphrase from a file, and as text; a wrong one, a cut file and another file are three sentences',
  async (t) => {
    const [here, there] = [machine(t), machine(t)];
    await here.add('home', loginOf('alice'));
    const file = path.join(here.box.root, 'logins.age');
    const secret = secretFile(here.box, 'pass', `${PASSPHRASE}\n`);
    const made = await here.run(['export', '--to', file, '--passphrase-file', secret, '--armor', '--json']);
    t.equal(made.code, 0, made.stderr);
    t.match(made.json, { closedBy: 'passphrase', armor: true });
    const whole = readFileSync(file, 'utf8');
    t.match(whole, /^-----BEGIN AGE ENCRYPTED FILE-----\n/);

    const read = await there.run(['import', '--from', file, '--passphrase-file', '-', '--json'], {
      input: PASSPHRASE,
    });
    t.equal(read.code, 0, read.stderr);
    t.match(await listed(there), [{ alias: 'home' }]);

    const says = async (content: string | Buffer, code: string, message: RegExp, pass = PASSPHRASE) => {
      const broken = path.join(there.box.root, 'broken.age');
      writeFileSync(broken, content, { mode: 0o600 });
      const args = [
        'import',
        '--from',
        broken,
        '--passphrase-file',
        secretFile(there.box, 'pass', pass),
        '--json',
      ];
      t.match(await there.run(args), { json: { error: { code, message } } }, String(message));
    };
    await says(whole, 'KEY_WRONG', /the passphrase does not open/, 'incorrect horse');
    await says(whole.slice(0, -200), 'ARCHIVE_UNREADABLE', /damaged, cut off/);
    const binary = Buffer.from(whole.split('\n').slice(1, -2).join(''), 'base64');
    await says(binary.subarray(0, -5), 'ARCHIVE_UNREADABLE', /damaged, cut off/);
    await says('-----BEGIN AGE ENCRYPTED FILE-----\nnot base64\n', 'ARCHIVE_UNREADABLE', /damaged, cut off/);
    const plain = (version: number) =>
      JSON.stringify({ format: 'codex-router-export', version, identities: [] });
    await says(plain(2), 'ARCHIVE_UNREADABLE', /made by a later codex-router \(version 2\)/);
    await says('{"format":"codex-router-export"}', 'ARCHIVE_UNREADABLE', /no export of codex-router/);
    t.match(await there.run(['import', '--from', file, '--json']), {
      code: 2,
      json: { error: { code: 'CHOICE_NEEDED' } },
    });
  },
);

t.test(
  'on a terminal the passphrase is asked for twice and not shown; age opens it with the same one',
  async (t) => {
    const here = machine(t);
    const alice = loginOf('alice');
    await here.add('home', alice);
    const file = path.join(here.box.root, 'logins.age');
    const type = (text: string) => `${text}\r`;
    const differ = await here.run(['export', '--to', file], {
      tty: [
        { after: 'passphrase for the export', send: type(PASSPHRASE) },
        { after: 'the same passphrase again', send: type('another one') },
      ],
    });
    t.match(differ.stdout, /the two passphrases differ/);
    t.notOk(existsSync(file));
    const made = await here.run(['export', '--to', file], {
      tty: [
        { after: 'passphrase for the export', send: type(PASSPHRASE) },
        { after: 'the same passphrase again', send: type(PASSPHRASE) },
      ],
    });
    t.equal(made.code, 0, made.stdout);
    t.match(made.stdout, /1 identity is in .*logins\.age/);
    t.notMatch(made.stdout, PASSPHRASE);
    await t.test('the age program opens it with what was typed', async (t) => {
      const programs = real(t, 'age');
      if (programs === null) return;
      let asked = false;
      const opened = await runProcess(
        [
          '/usr/bin/script',
          '--quiet',
          '--return',
          '--echo',
          'always',
          '--command',
          `'${programs.age}' -d -o plain.json '${file}'`,
          '/dev/null',
        ],
        {
          env: { PATH: '/usr/bin:/bin', TERM: 'dumb', SHELL: '/bin/sh' },
          cwd: here.box.root,
          onOutput: (output) => {
            if (asked || !output.includes('Enter passphrase')) return null;
            asked = true;
            return type(PASSPHRASE);
          },
        },
      );
      t.equal(opened.code, 0, opened.stdout);
      const document = readJson(path.join(here.box.root, 'plain.json'));
      t.match(document, { identities: [{ alias: 'home', grant: { refreshToken: alice.refresh } }] });
    });

    const there = machine(t);
    const read = await there.run(['import', '--from', file], {
      tty: [{ after: 'passphrase of', send: type(PASSPHRASE) }],
    });
    t.equal(read.code, 0, read.stdout);
    t.match(await listed(there), [{ alias: 'home', doubt: 'restored' }]);
  },
);
