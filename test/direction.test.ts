import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import t from 'tap';

/** DESIGN's arrows: which folders a folder's files may import from (beside their own). `.` is the vocabulary, src/*.ts. */
const MAY_IMPORT: { readonly [folder: string]: readonly string[] } = {
  bin: ['src/cli'],
  'src/cli': ['src/router', 'src/repo', 'src/slot', 'src/os', '.'],
  'src/cli/compose': [
    'src/openclaw',
    'src/codex',
    'src/tools',
    'src/router',
    'src/repo',
    'src/slot',
    'src/os',
    '.',
  ],
  'src/router': ['src/repo', 'src/slot', 'src/os', '.'],
  'src/repo': ['src/os', '.'],
  'src/slot': ['src/os', '.'],
  'src/openclaw': ['src/slot', 'src/os', '.'],
  'src/codex': ['src/os', '.'],
  'src/tools': ['src/os', '.'],
  'src/os': ['.'],
  '.': [],
};

const ROOT = join(import.meta.dirname, '..');

interface Import {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

function sources(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name));
}

function room(file: string): string {
  if (file === 'src/cli/compose.ts') return 'src/cli/compose';
  const parts = dirname(file).split('/');
  if (parts[0] === 'bin') return 'bin';
  return parts.length === 1 ? '.' : parts.slice(0, 2).join('/');
}

function imports(file: string, text: string): Import[] {
  return [...text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map((match) => {
    const target = normalize(join(dirname(file), match[1] ?? '')).replace(/\.js$/, '.ts');
    return { file, from: room(file), to: room(target) };
  });
}

function against(found: readonly Import[]): Import[] {
  return found.filter(
    ({ from, to }) =>
      from !== to &&
      !(to === 'src/cli' && from === 'src/cli/compose') &&
      !(from === 'src/cli' && to === 'src/cli/compose') &&
      !MAY_IMPORT[from]?.includes(to),
  );
}

t.test('every import points the way the design says', async (t) => {
  const files = [...sources('src'), ...sources('bin')];
  t.ok(files.length > 20, 'the sources were found');
  const found = files.flatMap((file) => imports(file, readFileSync(join(ROOT, file), 'utf8')));
  t.ok(found.length > 50, 'the imports were found');
  t.strictSame(against(found), []);
});

t.test('an import against the arrows is noticed, static or lazy', async (t) => {
  const planted = imports(
    'src/repo/planted.ts',
    "import type { A } from '../router/use.js';\nawait import('../openclaw/host.js');",
  );
  t.equal(against(planted).length, 2);
});

t.test('only the composition root names the worlds that change', async (t) => {
  const found = sources('src').flatMap((file) => imports(file, readFileSync(join(ROOT, file), 'utf8')));
  const outside = found.filter(
    ({ from, to }) => ['src/openclaw', 'src/codex', 'src/tools'].includes(to) && from !== to,
  );
  t.strictSame([...new Set(outside.map(({ file }) => file))], ['src/cli/compose.ts']);
});

t.test('no file of the product is longer than 300 lines', async (t) => {
  const long = [...sources('src'), ...sources('bin')].filter(
    (file) => readFileSync(join(ROOT, file), 'utf8').split('\n').length > 301,
  );
  t.strictSame(long, []);
});
