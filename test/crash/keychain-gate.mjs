/**
 * Preloaded (`node --import`) into codex-router and so into the keychain's helper: stops it at one call of the real keytar until a test
 * lets it go on. KEYCHAIN_GATE is `<folder> <before|after> <call>`; `<folder>/reached` appears there, and `<folder>/open` is waited for.
 * `kept` is the reading back of what was just written. Only the first such call stops.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const [folder, when, call] = (process.env.KEYCHAIN_GATE ?? '').split(' ');
const program = process.argv[1] ?? '';

let written = false;

function gate(moment, name) {
  const passed = name === 'getPassword' && written ? 'kept' : name;
  if (moment !== when || passed !== call || existsSync(`${folder}/reached`)) return;
  writeFileSync(`${folder}/reached`, '');
  const nap = new Int32Array(new SharedArrayBuffer(4));
  while (!existsSync(`${folder}/open`)) Atomics.wait(nap, 0, 0, 10);
}

if (folder && program.endsWith('keychain-child.js')) {
  // The very object that the helper's own require gives it.
  const keytar = createRequire(program)('keytar');
  for (const name of ['getPassword', 'setPassword', 'deletePassword']) {
    const real = keytar[name];
    keytar[name] = async (...args) => {
      gate('before', name);
      const result = await real(...args);
      gate('after', name);
      written ||= name === 'setPassword';
      return result;
    };
  }
}
