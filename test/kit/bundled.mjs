import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';

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
  await build({ entryPoints: [entry], outfile, bundle: true, ...target, external, logLevel: 'warning' });
  return { folder, program: await import(pathToFileURL(outfile).href) };
}
