// Bundles the command line into dist/ (why, and why in this shape: docs/decisions/0002-bundle.md):
//   codex-router.js    the launcher: answers --version by itself, loads main.js for everything else
//   main.js, use.js, rest.js   all of codex-router, commander and zod; each module is evaluated when it is first imported
//   lib/*.js           packages that only some commands need
//   keychain-child.js  the child process that loads the native keychain library
//   sdk-child.js       the child process, under OpenClaw's Node, that loads OpenClaw's plugin SDK
//   plugin/            the OpenClaw plugin: the folder that `openclaw plugins install` takes
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { build, transform } from 'esbuild';

const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
const LAZY = [
  '@clack/prompts',
  'age-encryption',
  'got',
  'hpagent',
  'json5',
  'proper-lockfile',
  'smol-toml',
  'uqr',
  'ws',
];
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
  'node:os': ['homedir', 'tmpdir'],
  'node:tty': ['isatty'],
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
        .map((name) => `export const ${name} = (...args) => require('${path}').${name}(...args);`)
        .join('\n'),
    }));
  },
};

// Node reads all of a file's text before it runs any, which for all of codex-router takes a third of `list`: what `list`
// and help evaluate is one file, what `use` adds another, everything else a third.
const PACKS = {
  'main.js': [
    'src/cli/main.ts',
    'src/cli/program.ts',
    'src/cli/rerun.ts',
    'src/cli/commands/list.ts',
    'src/openclaw/locate.ts',
    'src/openclaw/places.ts',
  ],
  // Only without an openclaw on PATH.
  'host.js': ['src/openclaw/host-node.ts'],
  'use.js': [
    'src/cli/commands/use.ts',
    'src/codex/logins.ts',
    'src/openclaw/reload.ts',
    'src/os/lock.ts',
    'src/repo/opened.ts',
    'src/repo/opening.ts',
    'src/repo/vault-file.ts',
    'src/repo/vault.ts',
  ],
};
const LAST_PACK = 'rest.js';

/** Splits codex-router by what is imported when, as esbuild does for ES modules, and puts the pieces into the packs. */
async function buildMain() {
  const { metafile, outputFiles } = await build({
    ...common,
    entryPoints: { main: 'src/cli/main.ts' },
    format: 'esm',
    supported: {},
    splitting: true,
    write: false,
    external: ['keytar'],
    plugins: [lazily],
  });
  const outputs = Object.entries(metafile.outputs).map(([path, output]) => ({
    name: `./${basename(path)}`,
    ...output,
  }));
  const home = new Map();
  const place = (name, pack) => {
    const output = outputs.find((one) => one.name === name);
    if (output === undefined || home.has(name)) return;
    home.set(name, pack);
    for (const { path, kind } of output.imports) {
      if (kind === 'import-statement') place(`./${basename(path)}`, pack);
    }
  };
  for (const [pack, entries] of Object.entries(PACKS)) {
    for (const entry of entries) {
      const output = outputs.find(({ entryPoint }) => entryPoint === entry);
      if (output === undefined) throw new Error(`${entry} is not imported lazily`);
      place(output.name, pack);
    }
  }
  for (const { name } of outputs) place(name, LAST_PACK);
  const pieces = await Promise.all(
    outputFiles.map(async ({ path, text }) => {
      const name = `./${basename(path)}`;
      const { code } = await transform(text, {
        platform: 'node',
        target: common.target,
        format: 'cjs',
        supported: common.supported,
        minify: true,
      });
      return {
        name,
        pack: home.get(name),
        source: `${JSON.stringify(name)}(require,module,exports){${code}}`,
      };
    }),
  );
  for (const pack of [...Object.keys(PACKS), LAST_PACK]) {
    const sources = pieces.filter((piece) => piece.pack === pack).map(({ source }) => source);
    const start = pack === 'main.js' ? `${LOADER(home)}` : '';
    writeFileSync(join('dist', pack), `"use strict";module.exports={${sources.join(',\n')}};${start}\n`);
  }
  return { metafile };
}

/** A `require` that knows the pieces: each is evaluated once, when first asked for, from whichever pack it lies in. */
const LOADER = (home) => `
// Each schema parses once or twice in a run: compiling it to a function first costs more than it saves.
globalThis.__zod_globalConfig={jitless:true};
const home=${JSON.stringify(Object.fromEntries([...home].filter(([, pack]) => pack !== 'main.js')))},made={},pieces=module.exports;
const load=(name)=>{
if(made[name])return made[name].exports;
if(home[name]&&!pieces[name])Object.assign(pieces,require("./"+home[name]));
if(!pieces[name])return require(name);
const module=made[name]={exports:{}};
pieces[name](load,module,module.exports);
return module.exports};
module.exports=load("./main.js");`;

/** An ES module, as every release of OpenClaw loads one, and not minified: whoever installs a plugin may want to read it. */
async function buildPlugin() {
  const { metafile } = await build({
    ...common,
    entryPoints: { index: 'plugin/index.ts' },
    format: 'esm',
    supported: {},
    target: 'node22',
    minify: false,
    outdir: 'dist/plugin',
  });
  const ofThisRelease = (name) => {
    const { version: _none, ...fields } = JSON.parse(readFileSync(`plugin/${name}`, 'utf8'));
    writeFileSync(`dist/plugin/${name}`, `${JSON.stringify({ ...fields, version }, null, 2)}\n`);
  };
  ofThisRelease('package.json');
  ofThisRelease('openclaw.plugin.json');
  cpSync('skill', 'dist/plugin/skills/codex-router', { recursive: true });
  return { metafile };
}

rmSync('dist', { recursive: true, force: true });
mkdirSync('dist');
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
  buildMain(),
  build({
    ...common,
    entryPoints: { 'keychain-child': 'src/repo/keychain-child.ts' },
    external: ['keytar'],
  }),
  build({
    ...common,
    entryPoints: { 'sdk-child': 'src/openclaw/sdk-child.ts' },
    // OpenClaw's modules are ES modules.
    supported: { 'dynamic-import': true },
  }),
  buildPlugin(),
  ...LAZY.map((name) =>
    build({
      ...common,
      entryPoints: [{ in: name, out: fileOf(name).replace(/\.js$/, '') }],
      outdir: join('dist', 'lib'),
      // proper-lockfile asks it for mkdir, stat, utimes and rmdir; its retries past too many open files need all of node:fs loaded.
      alias: { 'graceful-fs': 'node:fs' },
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
