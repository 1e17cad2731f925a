import { codexHome, readLogin } from '../../src/codex/home.js';
import { findFlock } from '../../src/codex/locks.js';
import { takeLogin } from '../../src/codex/take.js';

/** A program for take.test.ts: takes the login of $CODEX_HOME and hangs where it would seal it, until it is killed. */
const home = await codexHome(process.env);
const login = await readLogin(home);
if (login === null) throw new Error('no login');
const flock = await findFlock(process.env, process.platform);
await takeLogin(home, login, flock, () => {
  process.stdout.write('sealing\n');
  return new Promise(() => setInterval(() => undefined, 1000));
});
