/**
 * The host's own hand on its stores, for as long as a test needs it: run by OpenClaw's own Node with the folder of an installed
 * package, it imports that release's plugin SDK. Requests are JSON lines on stdin, answers JSON lines on descriptor 3.
 *   put      an entry into a store (`entry` null: takes it out)
 *   order    order and lastGood of a provider
 *   store    what an agent's own store holds
 *   session  makes a session entry, or reads it (`entry` absent)
 */
import { writeSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const root = process.argv[2];
const load = (name) => import(pathToFileURL(path.join(root, 'dist', 'plugin-sdk', `${name}.js`)).href);

async function update({ agentDir }, updater) {
  const { updateAuthProfileStoreWithLock } = await load('provider-auth');
  const saveOptions = { filterExternalAuthProfiles: false };
  const done = await updateAuthProfileStoreWithLock({ ...(agentDir && { agentDir }), saveOptions, updater });
  if (done === null) throw new Error('OpenClaw did not write');
}

const tasks = {
  put: (task) =>
    update(task, (store) => {
      if (task.entry === null) delete store.profiles[task.profileId];
      else store.profiles[task.profileId] = task.entry;
      return true;
    }),
  order: (task) =>
    update(task, (store) => {
      store.order = { [task.provider]: task.order };
      store.lastGood = task.lastGood === null ? undefined : { [task.provider]: task.lastGood };
      return true;
    }),
  store: async (task) => {
    let found;
    await update(task, (store) => {
      found = structuredClone(store);
      return false;
    });
    return found;
  },
  session: async ({ agent, key, entry }) => {
    const { getSessionEntry, upsertSessionEntry } = await load('session-store-runtime');
    const place = { agentId: agent, sessionKey: key };
    if (entry !== undefined) await upsertSessionEntry({ ...place, entry });
    return (await getSessionEntry(place)) ?? null;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const task = JSON.parse(line);
  let answer;
  try {
    answer = { value: (await tasks[task.do](task)) ?? null };
  } catch (error) {
    answer = { error: String(error) };
  }
  writeSync(3, `${JSON.stringify(answer)}\n`);
}
process.exit(0);
