// Bundles the command line into dist/ (why, and why in this shape: docs/decisions/0002-bundle.md):
//   codex-router.js    the launcher: answers --version by itself, loads main.js for everything else
//   main.js            all of codex-router, commander and zod; each module is evaluated when it is first imported
//   lib/*.js           packages that only some commands need
//   keychain-child.js  the child process that loads the native keychain library
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
const LAZY = ['@clack/prompts', 'proper-lockfile', 'ws'];
const fileOf = (name) => `${name.replace(/[@/]/g, '-').replace(/^-/, '')}.js`;

const common = {
  bundle: true,
  // CommonJS: Node starts it without its module loader's threads of work, and a module's requires run when it is first
  // evaluated. `import()` becomes require() for the same reason.
  format: 'cjs',
  supported: { 'dynamic-import': false },
  platform: 'node',
  target: 'node20',
  minify: true,
  legalComments: 'none',
  metafile: true,
  logLevel: 'warning',
  define: { CODEX_ROUTER_VERSION: JSON.stringify(version), 'import.meta.dirname': '__dirname' },
  outdir: 'dist',
};
// Node's own modules that cost milliseconds to load and that most commands never call.
const COSTLY = {
  'node:child_process': ['spawn', 'execFile', 'spawnSync'],
  'node:crypto': [
    'createCipheriv',
    'createDecipheriv',
    'createHash',
    'createHmac',
    'hkdfSync',
    'randomBytes',
    'randomUUID',
    'scrypt',
    'timingSafeEqual',
  ],
};
const lazily = {
  name: 'lazily',
  setup(bundle) {
    bundle.onResolve({ filter: /^[^./]/ }, ({ path, kind, namespace }) => {
      if (namespace === 'lazily') return { path, external: true };
      if (COSTLY[path] !== undefined) return { path, namespace: 'lazily' };
      if (!LAZY.includes(path)) return undefined;
      if (kind !== 'dynamic-import') throw new Error(`${path} must be imported lazily`);
      return { path: `./lib/${fileOf(path)}`, external: true };
    });
    bundle.onLoad({ filter: /.*/, namespace: 'lazily' }, ({ path }) => ({
      contents: COSTLY[path]
        .map((name) => `exports.${name} = (...args) => require('${path}').${name}(...args);`)
        .join('\n'),
    }));
  },
};

rmSync('dist', { recursive: true, force: true });
const built = await Promise.all([
  build({
    ...common,
    entryPoints: { 'codex-router': 'bin/codex-router.ts' },
    plugins: [
      {
        name: 'main-apart',
        setup: (bundle) =>
          bundle.onResolve({ filter: /cli\/main\.js$/ }, () => ({ path: './main.js', external: true })),
      },
    ],
  }),
  build({
    ...common,
    entryPoints: { main: 'src/cli/main.ts', 'keychain-child': 'src/repo/keychain-child.ts' },
    external: ['keytar'],
    // Each schema parses once or twice in a run: compiling it to a function first costs more than it saves.
    banner: { js: 'globalThis.__zod_globalConfig = { jitless: true };' },
    plugins: [lazily],
  }),
  ...LAZY.map((name) =>
    build({
      ...common,
      entryPoints: [{ in: name, out: fileOf(name).replace(/\.js$/, '') }],
      outdir: join('dist', 'lib'),
      external: ['bufferutil', 'utf-8-validate'],
    }),
  ),
]);
// The package is ESM; what is built is not.
writeFileSync(join('dist', 'package.json'), '{ "type": "commonjs" }\n');

const inputs = built.flatMap(({ metafile }) => Object.keys(metafile.inputs));
const packages = new Set(
  inputs.flatMap((input) => /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1] ?? []),
);
const notices = [...packages].sort().map((name) => {
  const folder = join('node_modules', name);
  const licence = readdirSync(folder).find((file) => /^licen[cs]e/i.test(file));
  const { version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const text =
    licence === undefined ? `Licence: ${license}` : readFileSync(join(folder, licence), 'utf8').trim();
  return `${name} ${version}\n\n${text}\n`;
});
writeFileSync(
  'dist/THIRD-PARTY-NOTICES.txt',
  `codex-router contains these packages.\n\n${notices.join('\n----------------------------------------\n\n')}`,
);
