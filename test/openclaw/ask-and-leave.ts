import { openSdk } from '../../src/openclaw/sdk.js';

/** A program for sdk.test.ts: asks the helper `argv[2]` one thing; then it does nothing more, or leaves without an answer. */
const [, , childPath = '', folder = '', how] = process.argv;
const { env } = process;
const place = {
  packageRoot: folder,
  node: process.execPath,
  env,
  stateDir: folder,
  configPath: folder,
  childPath,
};
const sdk = openSdk(place);
const asking = sdk.ask({ op: 'read', agentDir: null }, 'SLOT_UNREADABLE');
if (how === 'leave') {
  process.stdin.once('data', () => process.exit(7));
} else {
  await asking;
  process.stdout.write('answered\n');
}
