// npm run bench: bundles bench.ts (the test kit is TypeScript) into a temporary folder and runs it there.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const folder = mkdtempSync(join(tmpdir(), 'codex-router-bench-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(130));
await build({
  entryPoints: ['test/bench/bench.ts'],
  outfile: join(folder, 'bench.mjs'),
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  external: ['keytar', 'proper-lockfile'],
  logLevel: 'warning',
});
const { bench } = await import(pathToFileURL(join(folder, 'bench.mjs')).href);
await bench(join(folder, 'boxes'), process.cwd(), process.argv.slice(2));
