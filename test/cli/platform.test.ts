import { readdirSync } from 'node:fs';
import t from 'tap';
import { cliOf } from '../../src/cli/cli.js';
import { runRemove } from '../../src/cli/commands/remove.js';
import { runUse } from '../../src/cli/commands/use.js';
import type { Interruption } from '../../src/cli/interruption.js';
import { processTerminal } from '../../src/cli/terminal.js';

t.test('on Windows a switch and a removal are refused before anything is read or written', async (t) => {
  const folder = t.testdir();
  const signal = new AbortController().signal;
  const interruption: Interruption = { signal, status: null, critical: (work) => work() };
  const env = { USERPROFILE: folder, LOCALAPPDATA: folder, APPDATA: folder };
  const cli = cliOf(env, 'win32', true, processTerminal(process, env, signal), interruption);
  await t.rejects(runUse(cli, 'work', {}), { code: 'PLATFORM_UNSUPPORTED', exitCode: 6 });
  await t.rejects(runRemove(cli, 'work', {}), { code: 'PLATFORM_UNSUPPORTED', exitCode: 6 });
  t.strictSame(readdirSync(folder), []);
});
