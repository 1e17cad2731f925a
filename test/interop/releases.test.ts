import { appendFileSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { FOREIGN_ID, type NativeState, nativeState, upgrade } from '../kit/native.js';
import { real, type Tester } from '../kit/real.js';
import { everyReleaseAsked, type Release, releasesToRun, traitsOf } from '../kit/releases.js';
import { type JsonDocument, leaksOf, PROJECT, router, sandbox } from '../kit/router.js';
import { query } from '../kit/sqlite.js';
import type { Snapshot } from '../kit/stores.js';
import { codexAuthJson, type Login, loginOf } from '../kit/tokens.js';

type Fields = Record<string, unknown>;
type Assert = Pick<typeof t, 'equal' | 'match' | 'notMatch' | 'ok' | 'strictSame'>;

/** A made state of this release, and codex-router on it under a Node that reads its stores. */
async function host(t: Tester, release: Release, research?: 'follow' | 'own', upgraded = false) {
  const box = sandbox(t);
  box.env.CODEX_ROUTER_KEY = 'file';
  const state = await nativeState(t, box, release, research ? { research } : {});
  if (!state) return null;
  const needs24 = upgraded || state.traits.layout.startsWith('sqlite');
  const node = (needs24 && real(t, 'node24')?.node24) || process.execPath;
  const run = async (...args: string[]): Promise<JsonDocument> =>
    (await router(box, [...args, '--json'], { node })).json;
  return {
    box,
    state,
    run,
    import: async (login: Login): Promise<JsonDocument> =>
      (await router(box, ['import', '--from', '-', '--json'], { node, input: codexAuthJson(login) })).json,
    use: (who: Login, ...more: string[]) => run('use', `${who.accountId}/${who.userId}`, ...more),
  };
}

/** OpenClaw's own word on who is in the slot. */
async function told(t: Assert, state: NativeState, login: Login, agent?: string): Promise<void> {
  const { claw, traits } = state;
  const of = agent ? ['--agent', agent] : [];
  if (!traits.authList) return toldStatus(t, state, login, of);
  const list = await claw.json(['models', 'auth', 'list', '--json', ...of]);
  t.match(
    list.profiles.find((one: Fields) => one.id === traits.slot),
    { provider: traits.provider, email: login.email, expiresAt: new Date(login.expires).toISOString() },
    'models auth list',
  );
}

async function toldStatus(t: Assert, state: NativeState, login: Login, of: readonly string[] = []) {
  const { claw, traits } = state;
  const status = await claw.json(['models', 'status', '--json', ...of]);
  t.match(
    status.auth.oauth.profiles.find((one: Fields) => one.profileId === traits.slot),
    { status: 'ok', expiresAt: login.expires, label: `${traits.slot} (${login.email})` },
    'models status',
  );
}

/** What OpenClaw's commands say of the order and the sessions after a switch; a broken row makes `sessions` fail. */
async function toldSelected(t: Assert, state: NativeState): Promise<void> {
  const { claw, traits } = state;
  const { order } = await claw.json([
    'models',
    'auth',
    'order',
    'get',
    '--provider',
    traits.provider,
    '--json',
  ]);
  t.strictSame(order, [traits.slot], 'models auth order get');
  const { sessions } = await claw.json(['sessions', '--json']);
  t.strictSame(
    sessions.map((one: Fields) => one.key).sort(),
    Object.keys(state.sessions()).sort(),
    'sessions',
  );
}

const PIN_FIELDS = [
  'authProfileOverride',
  'authProfileOverrideSource',
  'authProfileOverrideCompactionCount',
  'updatedAt',
] as const;

/** An entry or a row without what a pin changes. */
function unpinned(row: Fields | undefined): Fields {
  const entry = { ...((row?.entry as Fields | undefined) ?? row) };
  for (const field of PIN_FIELDS) delete entry[field];
  if (row?.entry === undefined) return entry;
  const { updated_at: _, ...columns } = row;
  return { ...columns, entry };
}

/** That a switch changed the slot, what selects it and the pins on it, and nothing else of the state directory. */
function onlySwitched(t: Assert, before: Snapshot, after: Snapshot, state: NativeState): void {
  const { slot, provider } = state.traits;
  t.strictSame(after.rest, before.rest, 'no other file or table changed');
  for (const agent of Object.keys(before.profiles)) {
    const others = ({ [slot]: _, ...profiles }: Fields = {}) => profiles;
    t.strictSame(
      others(after.profiles[agent]),
      others(before.profiles[agent]),
      `${agent}: the other profiles`,
    );
    const foreign = (fields: Fields = {}) =>
      Object.entries(fields).filter(([name]) => !name.startsWith('openai'));
    for (const part of ['order', 'lastGood', 'usageStats'] as const) {
      t.strictSame(
        foreign(after.selection[agent]?.[part]),
        foreign(before.selection[agent]?.[part]),
        `${agent}: ${part} of the others`,
      );
    }
    t.strictSame(
      Object.keys(after.sessions[agent] ?? {}),
      Object.keys(before.sessions[agent] ?? {}),
      `${agent}: no session came or went`,
    );
    for (const [key, row] of Object.entries(after.sessions[agent] ?? {})) {
      const was = before.sessions[agent]?.[key];
      if (JSON.stringify(row) === JSON.stringify(was)) continue;
      const entry = (row.entry ?? row) as Fields;
      t.match(
        entry,
        { authProfileOverride: slot, authProfileOverrideSource: 'user' },
        `${key} changed, so it is pinned`,
      );
      t.notMatch(entry, { authProfileOverrideCompactionCount: Number }, `${key}: a person's pin`);
      t.strictSame(unpinned(row), unpinned(was), `${key}: nothing but the pin changed`);
      if (row.entry !== undefined) {
        t.match(row, { entry_valid: 1, updated_at: entry.updatedAt, current_session_id: entry.sessionId });
      }
    }
  }
  t.match(after.selection.main, { order: { [provider]: [slot] }, lastGood: { [provider]: slot } });
  t.match(state.sessions()['agent:main:main'], {
    authProfileOverride: slot,
    authProfileOverrideSource: 'user',
  });
  t.strictSame(state.integrity(), []);
}

const tokensOf = ({ access, refresh, expires, email, accountId }: Login) => ({
  ...{ access, refresh, expires, email, accountId },
});

const RESULTS = path.join(PROJECT, '.cache', 'releases.jsonl');

/** One line of the table in docs/hosts.md (table.mjs); the last line of a release counts. */
function record(state: NativeState, found: JsonDocument, result: 'routed' | 'failed'): void {
  const { release, traits } = state;
  const schemas = [state.shared, state.database()].flatMap((file) => {
    try {
      return [query(file, 'PRAGMA user_version')[0]?.user_version];
    } catch {
      return [];
    }
  });
  mkdirSync(path.dirname(RESULTS), { recursive: true });
  const { slot, refreshCall } = traits;
  const { layout = traits.layout, locks = [] } = found;
  const lock = locks.map(lockName).join(', then ');
  const schema = traits.layout.startsWith('sqlite') ? schemas.join('/') : null;
  appendFileSync(
    RESULTS,
    `${JSON.stringify({ release, layout, schema, slot, lock, refreshCall, result })}\n`,
  );
}

/** A lock as `codex-router host` names it, without what differs from place to place. */
function lockName({ kind, path: file }: { readonly kind: string; readonly path: string }): string {
  const name = path.basename(file).replace(/(sha256|lock)-[0-9a-f]{32,}/, '$1-…');
  return kind === 'transaction' ? `transaction in \`${name}\`` : `\`${name}\``;
}

const runs = (release: Release): boolean => releasesToRun().includes(release);

/** Where time is short, one release of each layout and of each way to lock it. */
const ROUTED = everyReleaseAsked
  ? releasesToRun()
  : releasesToRun().filter((release) => !['2026.5.28', '2026.8.1'].includes(release));

for (const release of ROUTED) {
  t.test(
    `${release}: the login in the slot is what OpenClaw runs on, there and back, and nothing else changes`,
    async (t) => {
      const there = await host(t, release);
      if (!there) return;
      const { box, state, use, run } = there;
      record(state, {}, 'failed');
      const alice = state.logins.slot;
      const bob = loginOf('bob');
      await told(t, state, alice);
      const first = state.snapshot();
      t.ok(first.profiles.main?.[FOREIGN_ID], 'the doctor kept the key of another provider');

      t.match(await there.import(bob), { imported: [{ result: 'added' }] });
      t.strictSame(state.snapshot(), first, 'an import touches nothing of the host');

      const away = await use(bob);
      const takenHome = { accountId: alice.accountId, userId: alice.userId };
      t.match(
        away,
        {
          result: 'switched',
          from: takenHome,
          to: { accountId: bob.accountId, userId: bob.userId },
          effective: 'no-gateway',
          slot: { agent: 'main', profileId: state.traits.slot },
          checkedIn: [takenHome],
        },
        'use',
        { away },
      );
      const second = state.snapshot();
      t.match(second.profiles.main?.[state.traits.slot], tokensOf(bob));
      onlySwitched(t, first, second, state);
      await told(t, state, bob);
      await toldSelected(t, state);

      const settled = state.snapshot();
      t.match(await use(alice), { result: 'switched', to: takenHome });
      const third = state.snapshot();
      onlySwitched(t, settled, third, state);
      t.strictSame(
        third.profiles.main?.[state.traits.slot],
        state.traits.seals
          ? { ...third.profiles.main?.[state.traits.slot], ...tokensOf(alice) }
          : first.profiles.main?.[state.traits.slot],
        'every field of the login came back with it',
      );
      t.match(await run('use', '-'), { result: 'switched', to: { userId: bob.userId } });
      t.match(await run('use', '-'), { result: 'switched', to: { userId: alice.userId } });
      t.match(state.slot(), tokensOf(alice));
      onlySwitched(t, third, state.snapshot(), state);
      await told(t, state, alice);
      const known = await run('status');
      t.match(known, {
        host: { release: { version: release } },
        slots: [{ occupant: { userId: alice.userId } }],
      });
      t.strictSame(leaksOf(box), []);
      t.strictSame(state.integrity(), [], 'after OpenClaw looked again');
      if (t.passing()) record(state, await run('host'), 'routed');
    },
  );
}

/** Upgraded at once, 2026.9.6 finds what the doctor of 2026.7.35 left on the old names; routed between, it does not. */
const UPGRADES = everyReleaseAsked ? [true, false] : [false];

for (const between of (['2026.5.28', '2026.7.35', '2026.9.6'] as const).every(runs) ? UPGRADES : []) {
  const way = between ? 'with a switch on each' : 'without a switch between';
  t.test(
    `routed on 2026.5.28, upgraded to 2026.7.35 and to 2026.9.6 ${way}: use works, pins and order are mended`,
    async (t) => {
      const there = await host(t, '2026.5.28', undefined, true);
      if (!there) return;
      const { box, use, run } = there;
      const old: NativeState = there.state;
      const alice = old.logins.slot;
      const bob = loginOf('bob');
      await there.import(bob);
      t.match(await use(bob), { result: 'switched' });
      t.match(old.slot(), tokensOf(bob));
      let holder = bob;

      for (const [release, times] of [['2026.7.35', 1] as const, ['2026.9.6', 2] as const]) {
        const state = await upgrade(t, box, old, release, times);
        if (!state) return;
        t.match(state.slot(), tokensOf(holder), `${release}: its doctor carried the routed login over`);
        if (!between && release === '2026.7.35') continue;
        const upgraded = state.snapshot();
        const next = holder === bob ? alice : bob;
        t.match(await use(next), { result: 'switched', from: { userId: holder.userId } }, release);
        onlySwitched(t, upgraded, state.snapshot(), state);
        const { order = {}, lastGood = {} } = state.selection();
        t.strictSame(Object.keys(order), [state.traits.provider], `${release}: no order of the old name`);
        t.strictSame(Object.keys(lastGood), [state.traits.provider]);
        const pins = Object.values(state.sessions()).flatMap((entry) => entry.authProfileOverride ?? []);
        t.strictSame([...new Set(pins)], [state.traits.slot], `${release}: no pin of the old name`);
        await told(t, state, next);
        await toldSelected(t, state);
        holder = next;
      }
      t.match(await use(holder === bob ? alice : bob), { result: 'switched' });
      t.match(await run('list'), { identities: [{}, {}] });
      t.strictSame(leaksOf(box), []);
    },
  );
}

const RENAMED = releasesToRun().filter((release) => traitsOf(release).provider === 'openai');
/** Each state of two agents takes its release's doctor another quarter of a minute. */
const TWO_AGENTS = everyReleaseAsked ? RENAMED : RENAMED.filter((release) => release === '2026.9.6');

for (const release of TWO_AGENTS) {
  t.test(`${release}: an agent without a login follows main`, async (t) => {
    const there = await host(t, release, 'follow');
    if (!there) return;
    const { box, state, use } = there;
    const bob = loginOf('bob');
    await there.import(bob);
    const before = state.snapshot();
    t.match(await use(bob), { result: 'switched', affects: { agents: ['main', 'research'] } });
    onlySwitched(t, before, state.snapshot(), state);
    t.strictSame(state.profiles('research'), {}, 'it got no copy');
    await told(t, state, bob, 'research');
    t.strictSame(leaksOf(box), []);
  });

  t.test(`${release}: an agent with a login of its own keeps it, and is switched alone`, async (t) => {
    const there = await host(t, release, 'own');
    if (!there) return;
    const { box, state, use } = there;
    const { slot: alice, research } = state.logins;
    const bob = loginOf('bob');
    await there.import(bob);
    const first = state.snapshot();
    t.match(await use(bob), { result: 'switched', affects: { agents: ['main'] } });
    const second = state.snapshot();
    onlySwitched(t, first, second, state);
    t.strictSame(second.profiles.research, first.profiles.research);
    await told(t, state, research, 'research');

    t.match(await use(alice, '--agent', 'research'), {
      result: 'switched',
      from: { userId: research.userId },
      slot: { agent: 'research' },
      affects: { agents: ['research'] },
    });
    t.match(state.slot('research'), tokensOf(alice));
    t.strictSame(state.snapshot().profiles.main, second.profiles.main, 'main is as it was');
    await told(t, state, alice, 'research');
    await told(t, state, bob, 'main');
    t.strictSame(leaksOf(box), []);
    t.strictSame(state.integrity(), []);
  });
}
