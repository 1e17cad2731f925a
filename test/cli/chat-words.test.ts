import fc from 'fast-check';
import t from 'tap';
import { parseWords } from '../../src/cli/chat/words.js';
import { RouterError } from '../../src/errors.js';

const typed = (text: string) => ({ kind: 'typed', text });
const handle = (text: string) => ({ kind: 'handle', text });

t.test(
  'a command is understood with its slash and without, with a bot’s name behind it, in any case',
  async (t) => {
    const show = { command: 'profile', verb: 'show' };
    for (const text of [
      '/codex_profile',
      'codex_profile',
      ' /codex_profile@my_bot\n',
      '/CODEX_PROFILE',
      '/codex-profile',
    ]) {
      t.strictSame(parseWords(text), show, text);
    }
    const use = { command: 'profile', verb: 'use', whom: typed('work') };
    for (const text of [
      '/codex_profile use work',
      'codex_profile@bot   USE   work ',
      '/codex_profile use "work"',
      '/codex_profile use “work”',
    ]) {
      t.strictSame(parseWords(text), use, text);
    }
  },
);

t.test('every word of the three commands has its meaning', async (t) => {
  const meaning: readonly [string, object][] = [
    ['/codex_profile use', { command: 'profile', verb: 'use', whom: null }],
    ['/codex_profile use -', { command: 'profile', verb: 'use', whom: typed('-') }],
    ['/codex_profile 3', { command: 'profile', verb: 'use', whom: typed('3') }],
    ['/codex_profile undo', { command: 'profile', verb: 'undo' }],
    ['/codex_profile explain', { command: 'profile', verb: 'explain' }],
    ['/codex_profile yes', { command: 'profile', verb: 'yes', id: null }],
    ['/codex_profile no abcdefgh', { command: 'profile', verb: 'no', id: 'abcdefgh' }],
    ['/codex_usage', { command: 'usage', verb: 'menu' }],
    ['/codex_usage all', { command: 'usage', verb: 'all' }],
    ['/codex_usage default', { command: 'usage', verb: 'active' }],
    ['/codex_usage work', { command: 'usage', verb: 'show', whom: typed('work') }],
    ['/codex_usage delete', { command: 'usage', verb: 'delete', whom: null, hard: false }],
    ['/codex_usage delete work', { command: 'usage', verb: 'delete', whom: typed('work'), hard: false }],
    ['/codex_usage delete work hard', { command: 'usage', verb: 'delete', whom: typed('work'), hard: true }],
    ['/codex_auth', { command: 'auth', kind: 'typed', rest: '' }],
    ['/codex_auth finish x', { command: 'auth', kind: 'typed', rest: 'finish x' }],
    ['codex_profile_use_abcdefgh', { command: 'profile', verb: 'use', whom: handle('abcdefgh') }],
    ['codex_profile_yes_abcdefgh', { command: 'profile', verb: 'yes', id: 'abcdefgh' }],
    ['codex_usage_all', { command: 'usage', verb: 'all' }],
    ['codex_usage_show_abcdefgh', { command: 'usage', verb: 'show', whom: handle('abcdefgh') }],
    ['codex_usage_hard_abcdefgh', { command: 'usage', verb: 'delete', whom: handle('abcdefgh'), hard: true }],
    ['codex_auth_start_abcdefgh', { command: 'auth', kind: 'button', verb: 'start', handle: 'abcdefgh' }],
  ];
  for (const [text, words] of meaning) t.strictSame(parseWords(text), words, text);
});

t.test('what no person types is refused, and not repeated', async (t) => {
  const hostile = [
    '',
    'hello',
    '／codex_profile use work',
    '⁄codex_profile',
    '/codex_profilex use work',
    '/codex_profile frobnicate',
    '/codex_profile use --session=agent:main:main',
    '/codex_profile use -x',
    '/codex_profile use --',
    '/codex_profile use ../../etc/passwd',
    '/codex_profile use /etc/passwd',
    '/codex_profile use ~/x',
    '/codex_profile use $(touch CANARY)',
    '/codex_profile use `id`',
    '/codex_profile use a; rm -rf b',
    '/codex_profile use a && b',
    '/codex_profile use a|b>c',
    '/codex_profile use work\n--session agent:main:main',
    '/codex_profile use wo\u202erk',
    '/codex_profile use wo\u200brk',
    '/codex_profile use wo\u0000rk',
    '/codex_profile use wo\u001b[31mrk',
    '/codex_profile use \ud800',
    '/codex_profile use "',
    `/codex_profile use ${'x'.repeat(7000)}`,
    '/codex_usage delete --all',
    'codex_profile_use_ABCDEFGH',
    'codex_profile_use_abcdefgh; x',
    'codex_profile_frobnicate',
    'codex_usage_delete',
  ];
  for (const text of hostile) {
    let error: unknown = null;
    try {
      parseWords(text);
    } catch (caught) {
      error = caught;
    }
    if (!(error instanceof RouterError)) {
      t.fail(`${JSON.stringify(text.slice(0, 60))} was taken`);
      continue;
    }
    t.equal(error.code, 'USAGE', JSON.stringify(text.slice(0, 60)));
    t.notMatch(`${error.message} ${error.hint}`, /passwd|CANARY|rm -rf|frobnicate|agent:main/);
  }
});

t.test(
  'whatever is written, it is understood or refused, and no selector can be a flag or a path',
  async (t) => {
    const beginnings = [
      '',
      '/codex_profile ',
      '/codex_profile use ',
      '/codex_usage ',
      '/codex_usage delete ',
      'codex_usage_',
    ];
    t.doesNotThrow(() =>
      fc.assert(
        fc.property(
          fc.constantFrom(...beginnings),
          fc.string({ unit: 'binary', maxLength: 60 }),
          (start, rest) => {
            try {
              const words = parseWords(start + rest);
              if (!('whom' in words) || words.whom === null) return true;
              const { text } = words.whom;
              return text === '-' || (/^[\p{L}\p{N}]/u.test(text) && !/[\p{C}\p{Z}\s]/u.test(text));
            } catch (error) {
              return error instanceof RouterError && error.code === 'USAGE' && error.hint !== undefined;
            }
          },
        ),
        { numRuns: 2000 },
      ),
    );
  },
);
