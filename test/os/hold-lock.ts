import { writeFileSync } from 'node:fs';
import { withRouterLock } from '../../src/os/lock.js';

// A program that takes the lock, says so in a file, and holds it until it is killed.
const [folder = '', sign = ''] = process.argv.slice(2);
await withRouterLock(folder, async () => {
  writeFileSync(sign, '');
  await new Promise((resolve) => setTimeout(resolve, 600_000));
});
