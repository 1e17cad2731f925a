import { writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { main } from '../../src/cli/main.js';

// codex-router as it is, one command line after the other in one process: {"args": [...]} on stdin; on stdout what the
// command prints, then NUL, its exit status and a line break.
const quiet: NodeJS.Process = Object.create(process, {
  // Each command would add its own handlers of signals.
  on: { value: () => quiet },
});
for await (const line of createInterface({ input: process.stdin })) {
  const { args } = JSON.parse(line) as { readonly args: readonly string[] };
  const status = await main([...args, '--json'], 'race', quiet);
  writeSync(1, `\0${status}\n`);
}
