import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { DOCUMENTS, names, schemaText } from '../contract/documents.js';

const FOLDER = join(import.meta.dirname, '../../docs/schemas');

if (process.env.UPDATE_SCHEMAS === '1') {
  mkdirSync(FOLDER, { recursive: true });
  for (const name of names) writeFileSync(join(FOLDER, `${name}.json`), schemaText(name));
}

t.test('docs/schemas holds exactly the documents that the commands print', async (t) => {
  t.strictSame(readdirSync(FOLDER).sort(), names.map((name) => `${name}.json`).sort());
  for (const name of names) {
    t.equal(readFileSync(join(FOLDER, `${name}.json`), 'utf8'), schemaText(name), `${name}: npm run schemas`);
  }
});

t.test('a document with a field too many, or one too few, is not valid', async (t) => {
  const good = { schemaVersion: 1, ok: false, error: { code: 'USAGE', message: 'no', hint: null } };
  t.ok(DOCUMENTS.error.safeParse(good).success);
  t.notOk(DOCUMENTS.error.safeParse({ ...good, extra: 1 }).success);
  t.notOk(DOCUMENTS.error.safeParse({ ...good, error: { code: 'USAGE', message: 'no' } }).success);
});
