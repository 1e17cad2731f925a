/**
 * The real OpenClaw's eyes: run by its own Node with the folder of an installed package, it reads state directories through that
 * release's plugin SDK, which is loaded once. Requests ({ stateDir, session }) are JSON lines on stdin, answers JSON lines on
 * descriptor 3: the logins of agent main as OpenClaw understands them, and whether it finds the session's entry.
 */
import { readFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const root = process.argv[2];
const load = (name) => import(pathToFileURL(path.join(root, 'dist', 'plugin-sdk', `${name}.js`)).href);
const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
const auth = await load('provider-auth');
const read = auth.ensureAuthProfileStoreForLocalUpdate ?? auth.ensureAuthProfileStore;
const sessions = version >= '2026.8' ? await load('session-store-runtime') : null;

for await (const line of createInterface({ input: process.stdin })) {
  const { stateDir, session } = JSON.parse(line);
  let answer;
  try {
    process.env.OPENCLAW_STATE_DIR = stateDir;
    const { profiles } = read(path.join(stateDir, 'agents', 'main', 'agent'));
    const logins = Object.entries(profiles).filter(([, entry]) => entry.type === 'oauth');
    const entry = await sessions?.getSessionEntry({ agentId: 'main', sessionKey: session });
    answer = {
      logins: Object.fromEntries(logins.map(([id, { refresh }]) => [id, refresh])),
      session: sessions === null ? null : typeof entry?.sessionId === 'string',
    };
  } catch (error) {
    answer = { error: String(error) };
  }
  writeSync(3, `${JSON.stringify(answer)}\n`);
}
process.exit(0);
