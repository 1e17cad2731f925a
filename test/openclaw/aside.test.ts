import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import t from 'tap';
import { takeAway } from '../../src/openclaw/aside.js';

t.test('takes away the very one that was judged, and moves no other one even for a moment', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'aside-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const lock = path.join(folder, 'x.lock');
  writeFileSync(lock, 'dead');
  const judged = lstatSync(lock);
  rmSync(lock);
  writeFileSync(lock, 'somebody who lives');
  const { ctimeMs } = lstatSync(lock);
  await t.rejects(takeAway(lock, judged), { code: 'HOST_BUSY' });
  t.equal(readFileSync(lock, 'utf8'), 'somebody who lives');
  t.equal(lstatSync(lock).ctimeMs, ctimeMs, 'a rename would have touched it');
  await takeAway(lock, lstatSync(lock));
  t.strictSame(readdirSync(folder), []);

  mkdirSync(lock);
  const empty = lstatSync(lock);
  writeFileSync(path.join(lock, 'in'), '');
  await t.rejects(takeAway(lock, empty), { code: 'HOST_BUSY' });
  t.strictSame(readdirSync(lock), ['in']);
});
