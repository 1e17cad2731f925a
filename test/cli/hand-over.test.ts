import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { type LendBench, lendBench, refused, textOf } from '../kit/lend-bench.js';
import { makeState } from '../kit/state.js';
import { DAY, people } from '../kit/tokens.js';

const LEFTOVER = '.auth.json.codex-router-taking';

t.test('uninstall refuses while a handed over login cannot be seen where it was handed to', async (t) => {
  const { run, add, signIn, auth, box, file } = await lendBench(t);
  await add('a', people.alice);
  t.equal((await run('lend a --move')).code, 0);
  const text = readFileSync(file, 'utf8');
  const away = path.join(box.root, 'away');
  const lose: readonly (readonly [how: RegExp, lose: () => void])[] = [
    [/has it no more/, () => rmSync(file)],
    [/has it no more/, () => void signIn(people.bob)],
    [/has it no more/, () => writeFileSync(file, text.slice(0, 300))],
    [/is gone/, () => renameSync(box.codexHome, away)],
  ];
  for (const [why, how] of lose) {
    how();
    const stop = { code: 'ONLY_HERE', identity: { alias: 'a' }, why, remedy: 'codex-router unlend a' };
    t.match((await run('uninstall --dry-run')).json, { stops: [stop] });
    const kept = await run('uninstall --yes');
    t.match(kept, refused('ONLY_HERE'));
    t.match(kept.json.error.hint, /codex-router unlend a/);
    t.ok(existsSync(box.routerHome));
    if (existsSync(away)) renameSync(away, box.codexHome);
    writeFileSync(file, text, { mode: 0o600 });
  }
  const rotated = signIn(people.alice);
  t.match(await run('uninstall --yes'), { code: 0, json: { result: 'uninstalled' } });
  t.equal(auth().tokens.refresh_token, rotated.refresh, 'it is with Codex, rotated');
});

t.test('uninstall refuses where a hand-over or the way back was interrupted', async (t) => {
  const { run, add, file, box } = await lendBench(t);
  await add('a', people.alice);
  mkdirSync(`${file}.lock`);
  writeFileSync(path.join(`${file}.lock`, 'x'), '');
  mkdirSync(path.join(box.codexHome, '.auth.json.lock'), { recursive: true });
  const failed = await run('lend a --move');
  t.not(failed.code, 0);
  t.match(await run('uninstall --yes'), refused('ONLY_HERE'));
  rmSync(`${file}.lock`, { recursive: true });
  rmSync(path.join(box.codexHome, '.auth.json.lock'), { recursive: true, force: true });
  t.equal((await run('unlend a')).code, 0);
  t.equal((await run('lend a --move')).code, 0);
  renameSync(file, path.join(box.codexHome, LEFTOVER));
  const left = await run('uninstall --yes');
  t.match(left, refused('ONLY_HERE'));
  t.match(left.json.error.hint, /unlend a/);
  t.equal((await run('unlend a')).code, 0);
  t.match(await run('use a'), { code: 0 });
  t.match(await run('uninstall --yes'), { code: 0 });
});

t.test('what an interrupted import left in the Codex home is not forgotten by uninstall', async (t) => {
  const { run, signIn, file, box } = await lendBench(t);
  signIn(people.bob);
  renameSync(file, path.join(box.codexHome, LEFTOVER));
  t.match(await run('uninstall --dry-run'), { json: { stops: [{ code: 'ONLY_HERE' }] } });
  const kept = await run('uninstall --yes');
  t.match(kept, refused('ONLY_HERE'));
  t.match(kept.json.error.hint, /codex-router import --take/);
  t.match(await run('import --take'), { code: 0 });
  t.match(await run(`use ${people.bob.accountId}`), { code: 0 });
  t.match(await run('uninstall --yes'), { code: 0 });
});

t.test('a copy of what Codex made of a handed over login is refused from wherever it comes', async (t) => {
  const { run, add, signIn, box, file, issuer, entry } = await lendBench(t);
  const alice = await add('a', people.alice, { issuedAt: Date.now() - DAY });
  t.equal((await run('lend a --move')).code, 0);
  t.match(await run(`import --from -`, { input: readFileSync(file, 'utf8') }), {
    json: { imported: [{ result: 'unchanged' }] },
  });
  signIn(people.alice);
  const other = path.join(box.root, 'other');
  mkdirSync(other);
  const copy = path.join(other, 'auth.json');
  writeFileSync(copy, readFileSync(file), { mode: 0o600 });
  const elsewhere = { env: { CODEX_HOME: other } };
  const input = { ...elsewhere, input: readFileSync(file, 'utf8') };
  const refusals = [
    await run('import --from -', input),
    await run('import --from - --replace', input),
    await run(`import --from ${file}`, elsewhere),
    await run('import --keep', elsewhere),
    await run('import --take', elsewhere),
  ];
  for (const refusal of refusals) {
    t.match(refusal, refused('LENT'));
    t.match(refusal.json.error.hint, /codex-router unlend a/);
  }
  t.ok(existsSync(copy), 'and nothing was taken');
  t.match(await entry('a'), { lentTo: { what: 'grant' } });
  t.match(await run('use a', elsewhere), refused('IDENTITY_IN_USE'));
  rmSync(copy);
  t.match((await run('unlend', elsewhere)).json, { handBack: 'taken-home' });
  t.match(await run('use a', elsewhere), { code: 0 });
  t.ok(issuer.isLive(alice.refresh));
});

t.test('a login made since is ours, and what Codex made of the one before is no copy of it', async (t) => {
  const { run, add, signIn, box, issuer, file, entry } = await lendBench(t);
  await add('a', people.alice, { issuedAt: Date.now() - DAY });
  t.equal((await run('lend a --move')).code, 0);
  issuer.approveAs(people.alice);
  t.match(await run('login --yes'), { code: 0, json: { result: 'renewed' } });
  t.match(await entry('a'), { lentTo: { what: 'grant' } });
  t.match(await run('use a'), { code: 0 });
  signIn(people.alice, { issuedAt: Date.now() + DAY });
  const input = { input: readFileSync(file, 'utf8'), env: { CODEX_HOME: box.tmp } };
  t.match(await run('import --from - --replace', input), refused('LENT'));
  t.match((await run('unlend a')).json, { handBack: 'repo-newer' });
});

t.test('a killed unlend is finished by import --take as by unlend, whatever the clock says', async (t) => {
  const killed = async ({ file, box, signIn }: LendBench, back: number) => {
    const rotated = signIn(people.alice, { issuedAt: Date.now() - back });
    renameSync(file, path.join(box.codexHome, LEFTOVER));
    return rotated;
  };
  const bench = await lendBench(t);
  const { run, add, entry, issuer, signIn, auth, box } = bench;
  const alice = await add('a', people.alice);
  const bob = signIn(people.bob);
  t.equal((await run('lend a --move --take')).code, 0);
  const rotated = await killed(bench, DAY);
  t.match(await run('import --take'), { code: 0, json: { notes: [{ code: 'RESUMED' }] } });
  t.notOk(existsSync(path.join(box.codexHome, LEFTOVER)));
  t.match((await run('unlend a')).json, { restored: { userId: people.bob.userId } });
  t.equal(auth().tokens.refresh_token, bob.refresh);
  t.match(await entry('a'), { lentTo: null, doubt: null });
  t.match((await run('refresh a')).json, { refreshed: [{ result: 'refreshed' }] });
  t.equal(issuer.presentations(rotated.refresh), 1);
  t.equal(issuer.presentations(alice.refresh), 0);
});

t.test('import --take from the home of a hand-over brings what is there, by a link too', async (t) => {
  const { run, add, signIn, entry, issuer, box, auth } = await lendBench(t);
  const alice = await add('a', people.alice);
  t.equal((await run('lend a --move')).code, 0);
  const rotated = signIn(people.alice, { issuedAt: Date.now() - DAY });
  const link = path.join(box.root, 'link');
  symlinkSync(box.codexHome, link);
  t.match(await run('import --take', { env: { CODEX_HOME: link } }), {
    code: 0,
    json: { imported: [{ result: 'updated' }] },
  });
  t.equal(auth(), null);
  t.match(await entry('a'), { lentTo: null, doubt: null });
  t.match((await run('refresh a')).json, { refreshed: [{ result: 'refreshed' }] });
  t.equal(issuer.presentations(rotated.refresh), 1);
  t.equal(issuer.presentations(alice.refresh), 0);
});

t.test('nothing is handed over beside an OpenClaw that another codex-router routes', async (t) => {
  const { run, add, box, auth } = await lendBench(t);
  await add('a', people.alice);
  await add('b', people.bob);
  t.equal((await run('use a')).code, 0);
  t.equal((await run('eject --yes')).code, 0);
  const second = path.join(box.root, 'second');
  const env = { CODEX_ROUTER_HOME: second, XDG_CONFIG_HOME: path.join(second, 'config') };
  t.match(await run('import --from openclaw --take --yes', { env }), { code: 0, json: { result: 'routed' } });
  t.match(await run('lend b --move'), refused('HOST_OWNED'));
  t.equal(auth(), null);
});

t.test('a login in doubt, or that a Codex home has a copy of, does not go into OpenClaw', async (t) => {
  const { run, box, issuer } = await lendBench(t);
  makeState(box.stateDir, { release: '2026.5.7', slot: null });
  const older = textOf(issuer.mint(people.alice, { issuedAt: Date.now() - DAY }), issuer);
  await run('import --from - --alias a', { input: textOf(issuer.mint(people.alice), issuer) });
  t.equal((await run('import --from - --replace', { input: older })).code, 0);
  t.match((await run('list')).json, { identities: [{ alias: 'a', doubt: 'restored' }] });
  const home = path.join(box.root, 'shared');
  mkdirSync(home);
  writeFileSync(path.join(home, 'auth.json'), textOf(issuer.mint(people.bob), issuer), { mode: 0o600 });
  t.equal((await run('import --keep --alias b', { env: { CODEX_HOME: home } })).code, 0);
  t.match((await run('eject --dry-run')).json, {
    added: [],
    left: [
      { identity: { alias: 'a' }, remedy: 'codex-router refresh a' },
      { identity: { alias: 'b' }, remedy: 'codex-router import --take' },
    ],
  });
});

t.test('unlend run twice leaves Codex with its own login', async (t) => {
  const { run, add, signIn, auth } = await lendBench(t);
  await add('b', people.bob);
  const own = signIn(people.alice);
  t.equal((await run('lend b --take')).code, 0);
  t.match((await run('unlend')).json, { restored: { userId: people.alice.userId } });
  await run('unlend');
  t.equal(auth().tokens.refresh_token, own.refresh);
});
