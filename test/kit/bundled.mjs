import { mkdtempSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';

/** A module of the tests finds the files beside it by its own address, which in the bundle would be the bundle's. */
const ownAddress = {
  name: 'own-address',
  setup: ({ onLoad }) =>
    onLoad({ filter: /[\\/]test[\\/].*\.ts$/ }, async ({ path }) => ({
      contents: (await readFile(path, 'utf8')).replaceAll(
        'import.meta.url',
        JSON.stringify(pathToFileURL(path).href),
      ),
      loader: 'ts',
    })),
};

/**
 * Bundles a TypeScript program of the tests into a temporary folder and imports it, for Node 20 reads no TypeScript. The
 * folder goes with the process; the program may use it.
 */
export async function bundled(entry, external = []) {
  const folder = mkdtempSync(join(tmpdir(), 'codex-router-bundled-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(130));
  const outfile = join(folder, 'program.mjs');
  const target = { platform: 'node', format: 'esm', target: 'node20' };
  await build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    ...target,
    external,
    plugins: [ownAddress],
    // Packages in CommonJS ask for Node's own modules with it.
    banner: {
      js: "import { createRequire } from 'node:module';const require = createRequire(import.meta.url);",
    },
    logLevel: 'warning',
  });
  return { folder, program: await import(pathToFileURL(outfile).href) };
}
