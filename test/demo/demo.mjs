// npm run demo
import { join } from 'node:path';
import { bundled } from '../kit/bundled.mjs';

const { folder, program } = await bundled('test/demo/demo.ts');
process.exitCode = await program.demo(
  join(folder, 'throw-away'),
  join(process.cwd(), 'dist', 'codex-router.js'),
);
