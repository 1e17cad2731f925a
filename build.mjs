// Bundles the command line into dist/: one entry for the launcher, one for the keychain child, shared chunks between
// them. Why a bundle: docs/decisions/0002-bundle.md.
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

const require_ =
  "import { createRequire as __codexRouterRequire } from 'node:module'; const require = __codexRouterRequire(import.meta.url);";

rmSync('dist', { recursive: true, force: true });
const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
const { metafile } = await build({
  entryPoints: { 'codex-router': 'bin/codex-router.ts', 'keychain-child': 'src/repo/keychain-child.ts' },
  outdir: 'dist',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  external: ['keytar', 'bufferutil', 'utf-8-validate'],
  minify: true,
  keepNames: true,
  legalComments: 'none',
  banner: { js: require_ },
  define: { CODEX_ROUTER_VERSION: JSON.stringify(version) },
  metafile: true,
  logLevel: 'warning',
});

const packages = new Set(
  Object.keys(metafile.inputs).flatMap(
    (input) => /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1] ?? [],
  ),
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
