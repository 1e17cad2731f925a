import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { findCanary, withoutProfiles } from './canary.js';
import { makeState, SLOT } from './state.js';
import { CANARY, codexAuthJson, loginOf } from './tokens.js';

const secret = loginOf('alice').refresh;
const percent = [...Buffer.from(secret)].map((byte) => `%${byte.toString(16)}`).join('');
const escaped = [...Buffer.from(secret)].map((byte) => `\\u00${byte.toString(16)}`).join('');
const base64 = (before: number) => Buffer.from('.'.repeat(before) + secret).toString('base64');

const leaks: readonly (readonly [string, string | Buffer, string])[] = [
  ['plain', `token=${secret};`, 'plain'],
  ['inside a JWT', loginOf('bob').access, 'plain'],
  ['base64, first alignment', base64(0), 'base64'],
  ['base64, second alignment', base64(1), 'base64'],
  ['base64, third alignment', base64(2), 'base64'],
  ['base64url', Buffer.from(`\xff\xfe?>${secret}`).toString('base64url'), 'base64'],
  ['base64 wrapped at 19 columns', base64(1).replace(/.{19}/g, '$&\r\n'), 'base64'],
  ['hex, lower case', Buffer.from(secret).toString('hex'), 'hex'],
  ['hex, upper case', Buffer.from(secret).toString('hex').toUpperCase(), 'hex'],
  ['percent, lower case', percent, 'percent'],
  ['percent, upper case', percent.toUpperCase(), 'percent'],
  ['JSON escapes', `"${escaped}"`, 'escaped'],
  ['UTF-16', Buffer.from(secret, 'utf16le'), 'utf-16'],
  ['gzip', gzipSync(codexAuthJson(loginOf('carol'))), 'gzip > plain'],
  ['gzip behind other bytes', Buffer.concat([Buffer.from('head'), gzipSync(secret)]), 'gzip > plain'],
  ['gzip in base64', `{"log":"${gzipSync(secret).toString('base64')}"}`, 'gzip > plain'],
  ['hex in gzip', gzipSync(Buffer.from(secret).toString('hex')), 'gzip > hex'],
  ['base64 of base64', Buffer.from(base64(1)).toString('base64'), 'base64 > base64'],
  ['base64 of hex', Buffer.from(Buffer.from(secret).toString('hex')).toString('base64'), 'base64 > hex'],
];

t.test('a leak of each kind is found in a file and in a string', async (t) => {
  for (const [name, content, coding] of leaks) {
    const dir = t.testdir({});
    mkdirSync(path.join(dir, 'deep', 'er'), { recursive: true });
    const file = path.join(dir, 'deep', 'er', '.hidden');
    writeFileSync(file, content);
    writeFileSync(path.join(dir, 'innocent'), 'nothing here');
    const found = findCanary([dir]);
    t.match(found, [{ where: file, coding }], name);
    if (typeof content === 'string') {
      t.match(
        findCanary([], { strings: { stdout: content } }),
        [{ where: 'stdout', coding }],
        `${name}, string`,
      );
    }
  }
});

t.test('what holds no canary is not reported', async (t) => {
  const clean = Buffer.from(JSON.stringify({ email: 'alice@example.test', sealed: 'Q0FO', key: '43414e' }));
  const dir = t.testdir({ a: clean, b: gzipSync(clean), c: Buffer.from([0x1f, 0x8b, 0x08, 1, 2, 3]) });
  t.strictSame(findCanary([dir], { strings: { out: clean.toString() } }), []);
});

t.test('a file name and a symlink target are searched', async (t) => {
  const dir = t.testdir({ [`${CANARY}.tmp`]: '' });
  symlinkSync(`/nowhere/${CANARY}`, path.join(dir, 'link'));
  const codings = findCanary([dir]).map(({ where, coding }) => `${path.basename(where)}: ${coding}`);
  t.strictSame(codings.sort(), [`${CANARY}.tmp: file name`, 'link: plain']);
});

t.test("only the slot's own entry is allowed, not its file", async (t) => {
  const dir = t.testdir({});
  const slot = loginOf('alice');
  const state = makeState(dir, { release: '2026.5.7', slot });
  const allow = [{ file: state.paths().profiles, strip: withoutProfiles(SLOT) }];
  t.strictSame(findCanary([dir], { allow }), []);
  makeState(dir, { release: '2026.5.7', slot, others: { 'openai-codex:left': loginOf('bob') } });
  t.match(findCanary([dir], { allow }), [{ where: state.paths().profiles, coding: 'plain' }]);
  t.strictSame(findCanary([dir], { allow: [{ file: state.paths().profiles }] }), []);
});

t.test('a root that does not exist is an error, not clean', async (t) => {
  t.throws(() => findCanary([path.join(t.testdir({}), 'missing')]), { code: 'ENOENT' });
});
