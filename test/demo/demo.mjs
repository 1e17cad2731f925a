// npm run demo: bundles demo.ts (the test kit is TypeScript) into a temporary folder and runs it there.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const folder = mkdtempSync(join(tmpdir(), 'codex-router-demo-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(130));
await build({
  entryPoints: ['test/demo/demo.ts'],
  outfile: join(folder, 'demo.mjs'),
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  logLevel: 'warning',
});
const { demo } = await import(pathToFileURL(join(folder, 'demo.mjs')).href);
process.exitCode = await demo(join(folder, 'throw-away'), join(process.cwd(), 'dist', 'codex-router.js'));
