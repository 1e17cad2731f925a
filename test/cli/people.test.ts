import fc from 'fast-check';
import t from 'tap';
import { peopleTable, phrase, shortKeys } from '../../src/cli/people.js';
import { columnsOf, showText } from '../../src/text.js';

const person = (accountId: string, userId = 'user-1') => ({
  accountId,
  userId,
  alias: null,
  email: 'a@example.test',
  plan: 'plus',
});

t.test('a short key is the beginning of one accountId only, eight characters at least', async (t) => {
  const ids = fc.uniqueArray(fc.stringMatching(/^[ab]{8,14}$/), { minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(ids, (accountIds) => {
      const keys = shortKeys(accountIds.map((id) => person(id)));
      return keys.every((key, index) => {
        const own = accountIds[index] ?? '';
        const others = accountIds.filter((id) => id !== own && id.startsWith(key));
        return own.startsWith(key) && (key === own || (key.length >= 8 && others.length === 0));
      });
    }),
  );
  t.strictSame(shortKeys([person('12345678-a'), person('12345678-b'), person('9')]), [
    '12345678-a',
    '12345678-b',
    '9',
  ]);
});

t.test('two seats of one workspace are shown with the seat', async (t) => {
  t.strictSame(
    shortKeys([person('acme-workspace', 'u1'), person('acme-workspace', 'u2'), person('other-one')]),
    ['acme-workspace/u1', 'acme-workspace/u2', 'other-on'],
  );
});

t.test('columns line up also with wide characters', async (t) => {
  const rows = peopleTable([
    { ...person('a1111111'), alias: '仕事', marker: '*' },
    { ...person('b2222222'), alias: 'work', marker: '' },
  ]);
  const starts = rows.slice(1).map((row) => columnsOf(row.slice(0, row.indexOf('a@'))));
  t.equal(new Set(starts).size, 1, rows.join('\n'));
});

t.test('a phrase names the alias, then what tells look-alikes apart', async (t) => {
  t.equal(
    phrase({ ...person('a1111111-2222'), alias: 'work' }),
    'work (a@example.test, plus, account a1111111)',
  );
  t.equal(phrase({ ...person('a1111111-2222'), plan: null }), 'a@example.test (account a1111111)');
});

t.test('text from outside comes out inert, on one line, and no wider than asked', async (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.integer({ min: 2, max: 80 }), (text, columns) => {
      const shown = showText(text, columns);
      return !/[\p{C}\p{Zl}\p{Zp}]/u.test(shown) && columnsOf(shown) <= columns && shown !== '';
    }),
  );
  t.equal(
    showText('\u001b]0;title\u0007\u001b[1mbold\u001b[0m'),
    'bold',
    'whole sequences go, not only their first byte',
  );
  t.equal(showText('\u001b]8;;http://x\u001b\\link\u001b]8;;\u001b\\'), 'link');
  t.equal(showText('safe\u202eexe.gpj'), 'safeexe.gpj');
  t.equal(showText(' \n\t '), '-');
  t.equal(showText('a'.repeat(99), 5), 'aaaa…');
});
