/**
 * A real OpenClaw beside codex-router, without its gateway: run by OpenClaw's own Node with the folder of an installed package and a
 * profile id, it asks that release for the slot's API key again and again, as turns do, which refreshes a login that is about to expire
 * under the release's own locks. Each line on stdin is one such turn; each line on descriptor 3 its outcome.
 */
import { writeSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const [root, profileId] = process.argv.slice(2);
const runtime = await import(pathToFileURL(path.join(root, 'dist', 'plugin-sdk', 'agent-runtime.js')).href);

async function turn() {
  const store = runtime.loadAuthProfileStoreForSecretsRuntime();
  const key = await runtime.resolveApiKeyForProfile({ store, profileId });
  if (!key) return { had: false };
  await runtime.markAuthProfileUsed?.({ store, profileId });
  return { had: true };
}

for await (const line of createInterface({ input: process.stdin })) {
  // Two turns at once share one refresh, or wait for each other's.
  const turns = Array.from({ length: Number(line) }, turn);
  const done = await Promise.allSettled(turns);
  const answer = done.map((one) => one.value ?? { error: String(one.reason) });
  writeSync(3, `${JSON.stringify(answer)}\n`);
}
process.exit(0);
