// npm run build && node test/bench/usage.mjs
import { bundled } from '../kit/bundled.mjs';

// Each of its folders goes with the process.
process.setMaxListeners(0);
const { program } = await bundled('test/bench/usage.ts', ['keytar', 'proper-lockfile', 'tap']);
await program.benchUsage(process.cwd());
process.exit();
