/**
 * Run by OpenClaw's own Node, which has node:sqlite. Argument: a command; stdin: its input; stdout: one JSON document.
 *   slots     every entry of every SQLite store of a state directory, and the sessions in them
 *   put       an entry into the slot, through the plugin SDK of the release that is installed
 *   expire    sets `expires` of an entry, and so makes the host refresh it
 *   integrity PRAGMA integrity_check and foreign_key_check of every database
 */
import { existsSync, globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';

const [command] = process.argv.slice(2);
const input = JSON.parse(readFileSync(0, 'utf8'));
const answer = await { slots, put, expire, integrity }[command]();
process.stdout.write(`${JSON.stringify(answer)}\n`);
process.exit(0);

function databases() {
  return globSync('{state,agents/*/agent}/*.sqlite', { cwd: input.stateDir }).map((file) =>
    path.join(input.stateDir, file),
  );
}

function tableOf(db, name) {
  return (
    db.prepare('SELECT 1 FROM sqlite_master WHERE type = ? AND name = ?').get('table', name) !== undefined
  );
}

function slots() {
  const stores = {};
  const sessions = {};
  for (const file of databases()) {
    const db = new DatabaseSync(file, { readOnly: true });
    const name = path.relative(input.stateDir, file);
    if (tableOf(db, 'config_machine_state')) {
      const row = db
        .prepare("SELECT value_json AS json FROM config_machine_state WHERE state_key = 'authProfiles.store'")
        .get();
      if (row) stores[name] = JSON.parse(row.json).profiles;
    }
    if (tableOf(db, 'auth_profile_store')) {
      const row = db
        .prepare("SELECT store_json AS json FROM auth_profile_store WHERE store_key = 'primary'")
        .get();
      if (row) stores[name] = JSON.parse(row.json).profiles;
    }
    if (tableOf(db, 'session_nodes')) {
      for (const row of db
        .prepare('SELECT session_key AS key, entry_json AS json, entry_valid AS valid FROM session_nodes')
        .all()) {
        sessions[row.key] = { ...JSON.parse(row.json), valid: row.valid };
      }
    }
    db.close();
  }
  for (const file of globSync('agents/*/agent/auth-profiles.json', { cwd: input.stateDir })) {
    stores[file] = JSON.parse(readFileSync(path.join(input.stateDir, file), 'utf8')).profiles;
  }
  for (const file of globSync('agents/*/sessions/sessions.json', { cwd: input.stateDir })) {
    Object.assign(sessions, JSON.parse(readFileSync(path.join(input.stateDir, file), 'utf8')));
  }
  return { stores, sessions };
}

async function updateStore(updater) {
  const sdk = await import(
    pathToFileURL(path.join(input.root, 'dist', 'plugin-sdk', 'provider-auth.js')).href
  );
  const agentDir = input.agentDir ? { agentDir: input.agentDir } : {};
  return await sdk.updateAuthProfileStoreWithLock({ ...agentDir, updater });
}

async function put() {
  const store = await updateStore((found) => {
    found.profiles[input.profileId] = input.entry;
    delete found.usageStats?.[input.profileId];
    return true;
  });
  return { put: store?.profiles?.[input.profileId] !== undefined };
}

async function expire() {
  let changed = 0;
  for (const file of databases()) {
    const db = new DatabaseSync(file);
    db.exec('PRAGMA busy_timeout = 5000; BEGIN IMMEDIATE');
    for (const [table, key, json, id] of [
      ['config_machine_state', 'state_key', 'value_json', 'authProfiles.store'],
      ['auth_profile_store', 'store_key', 'store_json', 'primary'],
    ]) {
      if (!tableOf(db, table)) continue;
      const row = db.prepare(`SELECT ${json} AS json FROM ${table} WHERE ${key} = ?`).get(id);
      const store = row && JSON.parse(row.json);
      const entry = store?.profiles?.[input.profileId];
      if (!entry || entry.expires === 1) continue;
      entry.expires = input.expires;
      db.prepare(`UPDATE ${table} SET ${json} = ? WHERE ${key} = ?`).run(JSON.stringify(store), id);
      changed += 1;
    }
    db.exec('COMMIT');
    db.close();
  }
  if (changed === 0 && globSync('agents/*/agent/auth-profiles.json', { cwd: input.stateDir }).length > 0) {
    // A file has no transaction: the release itself, under its own lock, is the one to write it.
    const store = await updateStore((found) => {
      const entry = found.profiles[input.profileId];
      if (!entry) return false;
      found.profiles[input.profileId] = { ...entry, expires: input.expires };
      return true;
    });
    changed = store?.profiles?.[input.profileId]?.expires === input.expires ? 1 : 0;
  }
  return { changed };
}

function integrity() {
  return databases()
    .filter((file) => existsSync(file))
    .flatMap((file) => {
      const db = new DatabaseSync(file, { readOnly: true });
      const found = db
        .prepare('PRAGMA integrity_check')
        .all()
        .map((row) => Object.values(row)[0]);
      const keys = db.prepare('PRAGMA foreign_key_check').all();
      db.close();
      const wrong = [...found.filter((text) => text !== 'ok'), ...keys.map((row) => JSON.stringify(row))];
      return wrong.map((text) => `${path.relative(input.stateDir, file)}: ${text}`);
    });
}
