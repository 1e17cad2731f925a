// npm run bench
import { join } from 'node:path';
import { bundled } from '../kit/bundled.mjs';

const { folder, program } = await bundled('test/bench/bench.ts', ['keytar', 'proper-lockfile']);
await program.bench(join(folder, 'boxes'), process.cwd(), process.argv.slice(2));
