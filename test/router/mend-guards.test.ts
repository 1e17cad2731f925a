import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { mendBackupsIn } from '../../src/repo/mend-backups.js';
import type { Before, Finding } from '../../src/router/finding.js';
import { layerFindings } from '../../src/router/layer-findings.js';
import { encodeBefore } from '../../src/router/mend-before.js';
import { undoMend } from '../../src/router/mend-undo.js';
import type { Host } from '../../src/slot/host.js';
import { fakeHost } from '../contract/fake-host.js';
import { fakeSlot } from '../contract/fake-slot.js';
import { login, NOW, SLOT, vault } from './vaults.js';

const CAROL = 'openai-codex:carol';
const MAIN = 'agent:main:main';

/** Alice and bob are stored, carol lies beside the slot, and main's session is pinned to her. */
async function bench({ routed = true } = {}) {
  const slot = fakeSlot();
  const host = fakeHost({ slots: [slot], sessions: [{ key: MAIN, updatedAt: 9, pinnedTo: CAROL }] });
  const one = vault();
  const [alice, bob, carol] = [login('alice'), login('bob'), login('carol')];
  await one.store(alice, bob);
  if (routed) await one.use(host, alice, { session: { kind: 'none' } });
  slot.hostPuts(CAROL, carol);
  const folder = mkdtempSync(join(tmpdir(), 'mends-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const repo = await one.repo.open();
  const backups = mendBackupsIn(join(folder, 'data'), repo, () => NOW);
  const keep = (before: Before) => backups.keep(encodeBefore(before, host.summary.stateDir));
  const undo = (on: Host = host) => undoMend({ ...one.deps(on), backups, host: on }, repo, null);
  const look = (on: Host = host) => layerFindings(one.deps(on), { agent: null, session: null });
  const mendOf = async (code: Finding['code'], on: Host = host) => {
    const found = (await look(on)).find((finding) => finding.code === code)?.mend;
    if (found == null) throw new Error(`no mend of ${code}`);
    return () => found.carryOut(keep);
  };
  return { slot, host, one, alice, bob, carol, folder, keep, undo, look, mendOf };
}

t.test('a host that nobody routes keeps its own order and pins, stored logins or not', async (t) => {
  const never = await bench({ routed: false });
  never.slot.hostOrders([CAROL], CAROL);
  t.strictSame(await never.look(), []);
  never.slot.hostPuts(SLOT, never.bob);
  t.strictSame(await never.look(), []);

  const ejected = await bench();
  ejected.slot.hostOrders([SLOT, CAROL], SLOT);
  t.match(await ejected.look(), [{ code: 'ORDER_DISAGREES', mend: { does: String } }]);
  const owner = await ejected.host.owner();
  if (owner === null) throw new Error('nobody owns it');
  await ejected.host.disown(owner);
  t.strictSame(await ejected.look(), [], 'eject gave it all back');
  ejected.slot.hostPuts(SLOT, ejected.bob);
  t.strictSame(await ejected.look(), [], 'and who logs in there now is its own business');
});

t.test('what another command chose between the look and the mend is not taken back', async (t) => {
  const it = await bench();
  it.slot.hostPuts(SLOT, it.carol);
  const mend = await it.mendOf('SLOT_DISAGREES');
  await it.one.use(it.host, it.bob, { session: { kind: 'none' } });
  await t.rejects(mend(), { code: 'SLOT_CHANGED', message: /switched since/ });
  t.match((await it.slot.read()).occupant, { identity: it.bob.identity });

  const behind = await bench();
  await behind.host.pinsOf('main').set([MAIN], SLOT);
  behind.slot.hostOrders([SLOT], SLOT);
  const host: Host = {
    ...behind.host,
    held: async () => ({ kind: 'holds', expiresAt: NOW - 1, askedAt: null }),
  };
  const reread = await behind.mendOf('EFFECTIVE_DISAGREES', host);
  await behind.one.use(behind.host, behind.bob, { session: { kind: 'none' } });
  await t.rejects(reread(), { code: 'SLOT_CHANGED' });
  t.match((await behind.slot.read()).occupant, { identity: behind.bob.identity });
});

t.test('what a switch that is under way has not written yet is no fault of the slot', async (t) => {
  const it = await bench();
  const [from, to] = [it.alice.identity, it.bob.identity];
  const slot = it.slot.address.id;
  await it.one.journal.begin({ slot, from, to, pins: [], undoes: null }, NOW);
  t.strictSame(await it.look(), []);
});

t.test('a mend is taken back in the very OpenClaw that it was made in', async (t) => {
  const it = await bench();
  await it.keep({ kind: 'pins', agent: 'main', pins: [{ key: MAIN, was: CAROL, is: SLOT }] });
  const other = fakeHost({
    slots: [fakeSlot()],
    stateDir: '/elsewhere',
    sessions: [{ key: MAIN, pinnedTo: SLOT }],
  });
  await t.rejects(it.undo(other), { code: 'HOST_NOT_FOUND', hint: /--state-dir \/fake/ });
  t.equal(other.pinned.get(MAIN), SLOT);
  await it.host.pinsOf('main').set([MAIN], SLOT);
  await it.undo();
  t.equal(it.host.pinned.get(MAIN), CAROL);
});

t.test('however many sessions were pinned, they are put back in one write for each login', async (t) => {
  const keys = Array.from({ length: 500 }, (_, nth) => `agent:main:telegram:direct:${nth}`);
  const slot = fakeSlot();
  const host = fakeHost({ slots: [slot], sessions: keys.map((key) => ({ key, pinnedTo: SLOT })) });
  const it = await bench();
  await it.one.use(host, it.bob, { session: { kind: 'none' } });
  const was = (nth: number) => (nth === 0 ? null : 'openai-codex:gone');
  const pins = keys.map((key, nth) => ({ key, was: was(nth), is: SLOT }));
  await it.keep({ kind: 'pins', agent: 'main', pins });
  let writes = 0;
  const counting: Host = {
    ...host,
    pinsOf: (agent) => {
      const own = host.pinsOf(agent);
      return {
        ...own,
        set: async (...given) => {
          writes += 1;
          return own.set(...given);
        },
      };
    },
  };
  const { text } = await it.undo(counting);
  t.equal(text, `${keys[0]} is not pinned again; 499 more are as they were`);
  t.strictSame(
    keys.map((key) => host.pinned.get(key)),
    keys.map((_, nth) => was(nth)),
  );
  t.equal(writes, 2);
});

t.test('a lock that was removed is put back where none is, and never over one that lives', async (t) => {
  const it = await bench();
  const path = join(it.folder, 'auth-profiles.json.lock');
  const before = { kind: 'file', path, mode: 0o600, bytes: Buffer.from('dead') } as const;
  await it.keep(before);
  writeFileSync(path, 'alive');
  await t.rejects(it.undo(), { code: 'SLOT_CHANGED' });
  t.equal(readFileSync(path, 'utf8'), 'alive');
  rmSync(path);
  await it.undo();
  t.equal(readFileSync(path, 'utf8'), 'dead');
  await t.rejects(it.undo(), { code: 'BACKUP_NOT_FOUND' });
});

t.test('a mode that was changed since, and a file of another codex-router, are left', async (t) => {
  const it = await bench();
  const path = join(it.folder, 'auth-profiles.json');
  writeFileSync(path, '{}', { mode: 0o400 });
  await it.keep({ kind: 'file', path, mode: 0o666, bytes: null, nextMode: 0o600 });
  await t.rejects(it.undo(), { code: 'SLOT_CHANGED' });
  t.equal(statSync(path).mode & 0o777, 0o400);

  const gone = join(it.folder, 'gone');
  await it.keep({ kind: 'file', path: gone, mode: 0o600, bytes: Buffer.from('x') });
  await it.host.claim({ vaultId: 'another', generation: 1, at: NOW }, await it.host.owner());
  await t.rejects(it.undo(), { code: 'HOST_OWNED' });
  t.notOk(existsSync(gone));
});
