import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { isSealed, openSealed, type SealedPlace } from '../../src/openclaw/sealed.js';
import { findCanary } from '../kit/canary.js';
import { CANARY, type Login, loginOf } from '../kit/tokens.js';

/**
 * What OpenClaw 2026.5.12 itself left of this login, put inline into its store, after `openclaw models auth list`: the store,
 * the side file and the key it made.
 */
const RECORDED = fileURLToPath(new URL('./fixtures/sealed-2026.5.12/', import.meta.url));
const ID = 'f9249cef828f94dbf41efc12a41e1cd8';
const SLOT = 'openai-codex:default';
const ALICE: Login = loginOf('alice', {
  issuedAt: Date.UTC(2026, 0, 1),
  expiresAt: Date.UTC(2099, 0, 1),
  nonce: 'sealed',
});

type Entry = Record<string, string | number | object>;

interface Bench {
  readonly place: SealedPlace;
  readonly entry: Entry;
  readonly sideFile: string;
  readonly keyFile: string;
  /** Changes the side file's JSON. */
  rewrite(change: (file: Entry) => void): void;
}

function bench(t: Test, platform: NodeJS.Platform = 'linux'): Bench {
  const root = t.testdir({ home: {}, state: {} });
  const [home, stateDir] = [path.join(root, 'home'), path.join(root, 'state')];
  const sideFile = path.join(stateDir, 'credentials', 'auth-profiles', `${ID}.json`);
  const keyFile = path.join(home, '.config', 'openclaw', 'auth-profile-secret-key');
  for (const file of [sideFile, keyFile]) {
    mkdirSync(path.dirname(file), { recursive: true });
    cpSync(path.join(RECORDED, path.basename(file)), file);
  }
  return {
    place: { stateDir, env: {}, home, platform, profileId: SLOT },
    entry: JSON.parse(readFileSync(path.join(RECORDED, 'auth-profiles.json'), 'utf8')).profiles[SLOT],
    sideFile,
    keyFile,
    rewrite: (change) => {
      const file = JSON.parse(readFileSync(sideFile, 'utf8'));
      change(file);
      writeFileSync(sideFile, JSON.stringify(file));
    },
  };
}

/** The refusal, which holds no token and no key. */
async function refused(t: Test, entry: Entry, place: SealedPlace, message: RegExp): Promise<void> {
  const error = await openSealed(entry as never, place).then(
    () => new Error('it was opened'),
    (thrown: Error) => thrown,
  );
  t.match(error, { code: 'SLOT_UNREADABLE', message, hint: /nothing was changed$/ });
  const said = `${error.message} ${'hint' in error ? error.hint : ''}`;
  t.same(findCanary([], { strings: { said } }), []);
  t.notMatch(said, readFileSync(path.join(RECORDED, 'auth-profile-secret-key'), 'utf8').trim());
}

t.test(
  'opens what 5.12 sealed: the tokens inline again, the reference gone, the rest as it was',
  async (t) => {
    const { place, entry } = bench(t);
    t.same(findCanary([RECORDED]), [], 'nothing recorded is in the clear');
    const { oauthRef, ...rest } = entry;
    t.ok(oauthRef && isSealed(entry as never));
    t.strictSame(await openSealed(entry as never, place), {
      ...rest,
      access: ALICE.access,
      refresh: ALICE.refresh,
    });
    t.ok(ALICE.refresh.includes(CANARY));
  },
);

t.test('gives an entry without a side file back as it is', async (t) => {
  const { place } = bench(t);
  for (const entry of [
    { type: 'oauth', access: 'a', refresh: 'r' },
    { type: 'oauth', oauthRef: null },
  ]) {
    t.equal(await openSealed(entry, place), entry);
  }
});

t.test('finds the key where OpenClaw has it on each platform, and a moved credentials folder', async (t) => {
  const { place, entry, keyFile, sideFile } = bench(t);
  const key = readFileSync(keyFile, 'utf8');
  const opens = async (changes: Partial<SealedPlace>) =>
    t.match(await openSealed(entry as never, { ...place, ...changes }), { access: ALICE.access });
  const at = async (file: string, changes: Partial<SealedPlace>) => {
    const moved = path.join(place.home, file);
    mkdirSync(path.dirname(moved), { recursive: true });
    writeFileSync(moved, key);
    await opens(changes);
    rmSync(moved);
  };
  rmSync(keyFile);
  await opens({ env: { OPENCLAW_AUTH_PROFILE_SECRET_KEY: ` ${key}` } });
  const name = 'auth-profile-secret-key';
  await at(`.openclaw-auth-profile-secrets/${name}`, {});
  await at(`xdg/openclaw/${name}`, { env: { XDG_CONFIG_HOME: path.join(place.home, 'xdg') } });
  await at(`other/.config/openclaw/${name}`, { env: { HOME: path.join(place.home, 'other') } });
  await at(`Library/Application Support/OpenClaw/${name}`, { platform: 'darwin' });
  await at(`AppData/Roaming/OpenClaw/${name}`, { platform: 'win32' });
  await at(`roaming/OpenClaw/${name}`, {
    platform: 'win32',
    env: { APPDATA: path.join(place.home, 'roaming') },
  });
  const moved = path.join(place.home, 'moved');
  renameSync(path.dirname(path.dirname(sideFile)), moved);
  await opens({ env: { OPENCLAW_OAUTH_DIR: '~/moved', OPENCLAW_AUTH_PROFILE_SECRET_KEY: key } });
});

t.test('a wrong key in a variable does not hide the right one in the file', async (t) => {
  const { place, entry } = bench(t);
  const env = { OPENCLAW_AUTH_PROFILE_SECRET_KEY: 'another' };
  t.match(await openSealed(entry as never, { ...place, env }), { access: ALICE.access });
});

t.test('says which it is: no key, another key, no side file', async (t) => {
  const { place, entry, keyFile, sideFile } = bench(t);
  writeFileSync(keyFile, 'another\n');
  await refused(
    t,
    entry,
    place,
    /does not open with the key in .*auth-profile-secret-key: another key sealed/,
  );
  writeFileSync(keyFile, ' \n');
  await refused(t, entry, place, /the key of its sealed side file is not there$/);
  rmSync(keyFile);
  await refused(t, entry, place, /the key of its sealed side file is not there$/);
  await refused(
    t,
    entry,
    { ...place, platform: 'darwin' },
    /not there \(a key in the macOS Keychain is not asked for/,
  );
  rmSync(sideFile);
  await refused(t, entry, place, /its sealed side file f9249cef828f94dbf41efc12a41e1cd8\.json is missing/);
});

t.test('a key that may not be read is an error of its own, not a missing key', async (t) => {
  const { place, entry, keyFile } = bench(t);
  rmSync(keyFile);
  mkdirSync(keyFile);
  await t.rejects(openSealed(entry as never, place), { code: 'IO', message: /auth-profile-secret-key/ });
});

t.test('opens nothing that was changed, cut or swapped', async (t) => {
  const changed = /does not open with the key/;
  const cases: readonly [string, (file: Entry) => void, RegExp][] = [
    ['a flipped bit', ({ encrypted }) => flip(encrypted, 'ciphertext'), changed],
    ['another tag', ({ encrypted }) => flip(encrypted, 'tag'), changed],
    ['a tag of four bytes', ({ encrypted }) => cut(encrypted, 'tag', 6), changed],
    ['another iv', ({ encrypted }) => flip(encrypted, 'iv'), changed],
    ['no ciphertext', ({ encrypted }) => cut(encrypted, 'ciphertext', 0), /is damaged/],
    ['another cipher', (file) => Object.assign(file.encrypted ?? {}, { algorithm: 'x' }), /unknown cipher/],
    ['no cipher at all', (file) => Object.assign(file, { encrypted: null }), /unknown cipher/],
    ['a later format', (file) => Object.assign(file, { version: 2 }), /is of format 2$/],
    ['no format', (file) => delete file.version, /is of format unknown$/],
    ['another profile', (file) => Object.assign(file, { profileId: 'openai-codex:b' }), /another profile/],
    ['another provider', (file) => Object.assign(file, { provider: 'openai' }), /another profile/],
  ];
  for (const [name, change, message] of cases) {
    await t.test(name, async (t) => {
      const { place, entry, rewrite } = bench(t);
      rewrite(change);
      await refused(t, entry, place, message);
    });
  }
  await t.test('another profile’s side file under this name', async (t) => {
    const { place, entry, sideFile } = bench(t);
    const other = '0'.repeat(32);
    renameSync(sideFile, sideFile.replace(ID, other));
    const ref = { source: 'openclaw-credentials', provider: 'openai-codex', id: other };
    await refused(t, { ...entry, oauthRef: ref }, place, changed);
  });
  await t.test('half a file', async (t) => {
    const { place, entry, sideFile } = bench(t);
    writeFileSync(sideFile, readFileSync(sideFile, 'utf8').slice(0, 400));
    await t.rejects(openSealed(entry as never, place), { code: 'SLOT_UNREADABLE' });
  });
});

function flip(encrypted: unknown, name: string): void {
  const fields = encrypted as Record<string, string>;
  const bytes = Buffer.from(fields[name] ?? '', 'base64url');
  bytes[0] = (bytes[0] ?? 0) ^ 1;
  fields[name] = bytes.toString('base64url');
}

function cut(encrypted: unknown, name: string, length: number): void {
  const fields = encrypted as Record<string, string>;
  fields[name] = (fields[name] ?? '').slice(0, length);
}

t.test('looks nowhere but in the credentials folder', async (t) => {
  const { place, entry, sideFile } = bench(t);
  const ref = entry.oauthRef as Entry;
  for (const oauthRef of [
    { ...ref, id: '../../../etc/passwd' },
    { ...ref, id: ID.toUpperCase() },
    { ...ref, id: `${ID}0` },
    { ...ref, source: 'elsewhere' },
    { ...ref, provider: 'openai' },
    'text',
    [],
  ]) {
    await refused(t, { ...entry, oauthRef }, place, /its oauthRef is of a format not known here$/);
  }
  const outside = path.join(place.home, `${ID}.json`);
  renameSync(sideFile, outside);
  symlinkSync(outside, sideFile);
  await refused(t, entry, place, /is a link to somewhere else$/);
});

t.test('follows a link to the whole state directory or to the credentials folder', async (t) => {
  const { place, entry } = bench(t);
  const linked = path.join(place.home, 'linked');
  symlinkSync(place.stateDir, linked);
  t.match(await openSealed(entry as never, { ...place, stateDir: linked }), { access: ALICE.access });
  const credentials = path.join(place.stateDir, 'credentials');
  renameSync(credentials, path.join(place.home, 'elsewhere'));
  symlinkSync(path.join(place.home, 'elsewhere'), credentials);
  t.match(await openSealed(entry as never, place), { access: ALICE.access });
});

t.test('takes neither of two different logins of one entry', async (t) => {
  const { place, entry, sideFile } = bench(t);
  const bob = loginOf('bob');
  await refused(
    t,
    { ...entry, access: bob.access, refresh: bob.refresh },
    place,
    /holds other tokens beside those in its sealed side file$/,
  );
  const same = { ...entry, access: ALICE.access, refresh: ALICE.refresh };
  t.match(await openSealed(same as never, place), { access: ALICE.access, refresh: ALICE.refresh });
  rmSync(sideFile);
  const { oauthRef: _, ...inline } = same as Entry;
  t.strictSame(await openSealed(same as never, place), inline, 'nothing but the one beside');
});

t.test('reads a side file with bare tokens, as 5.12 does, and none without a whole login', async (t) => {
  const { place, entry, keyFile, rewrite } = bench(t);
  rmSync(keyFile);
  rewrite((file) => {
    delete file.encrypted;
    Object.assign(file, { access: ALICE.access, refresh: ALICE.refresh, idToken: ALICE.idToken });
  });
  t.match(await openSealed(entry as never, place), { refresh: ALICE.refresh, idToken: ALICE.idToken });
  rewrite((file) => delete file.refresh);
  await refused(t, entry, place, /holds no complete login$/);
});
