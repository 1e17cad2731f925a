import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { startIssuer } from '../kit/issuer.js';
import { limitsOf, simulatedClock } from '../kit/limits.js';
import { nativeState } from '../kit/native.js';
import type { Tester } from '../kit/real.js';
import { router, type Sandbox } from '../kit/router.js';
import { chatSessions, makeState, PIN, profileOf, writeJson } from '../kit/state.js';
import { codexAuthJson, type Login, loginOf, people } from '../kit/tokens.js';
import { type Known, keyOf, newest, type Scenario, type Sight, type Situation } from './bed.js';

/** Every command that changes something, each in the situation in which it changes most. */

const SLOT = 'openai-codex:default';
type Env = Readonly<Record<string, string>>;

const LOOKS = [{ args: ['list', '--json'] }, { args: ['status', '--json'] }] as const;

/** OpenClaw has rotated the occupant's grant since it was stored: it must come home before it is overwritten. */
export const useRotated: Scenario = {
  name: 'use, on a JSON host that rotated the occupant',
  args: ['use', 'bob', '--json'],
  others: [{ args: ['use', 'carol', '--json'] }, LOOKS[0], { args: ['use', 'alice', '--json'] }, LOOKS[1]],
  eyes: '2026.5.7',
  prepare: async (_, box, env) => {
    const [old, alice, bob, carol] = [loginOf('alice'), loginOf('alice'), loginOf('bob'), loginOf('carol')];
    const state = { release: '2026.4.23', order: [SLOT], sessions: pinnedSessions() } as const;
    makeState(box.stateDir, { ...state, slot: old });
    await ok(box, env, ['import', '--from', 'openclaw']);
    await ok(box, env, ['alias', keyOf(alice), 'alice']);
    await store(box, env, bob, 'bob');
    await store(box, env, carol, 'carol');
    makeState(box.stateDir, { ...state, slot: alice });
    return onSlot(SLOT, bob, [alice, bob, carol]);
  },
};

/** The occupant is nobody's that is stored, and the wanted login lies beside the slot under another name. */
export const useNeighbour: Scenario = {
  name: 'use of a neighbour, on a JSON host whose occupant was never stored',
  every: 3,
  args: ['use', 'carol', '--json'],
  others: [{ args: ['use', 'bob', '--json'] }, ...LOOKS],
  eyes: '2026.3.28',
  prepare: async (_, box, env) => {
    const [alice, bob, carol] = [loginOf('alice'), loginOf('bob'), loginOf('carol')];
    const state = { release: '2026.3.28', sessions: pinnedSessions() } as const;
    const others = { 'openai-codex:carol@example.test': profileOf(carol, '2026.3.28') };
    makeState(box.stateDir, { ...state, others });
    await ok(box, env, ['import', '--from', 'openclaw']);
    await ok(box, env, ['alias', keyOf(carol), 'carol']);
    await store(box, env, bob, 'bob');
    makeState(box.stateDir, { ...state, slot: alice, others });
    return onSlot(SLOT, carol, [alice, bob, carol]);
  },
};

export const useSqlite: Scenario = {
  name: 'use, on a SQLite host that rotated the occupant',
  args: ['use', 'bob', '--json'],
  others: [{ args: ['use', 'carol', '--json'] }, ...LOOKS, { args: ['use', 'alice', '--json'] }],
  node: process.execPath,
  eyes: '2026.9.6',
  prepare: async (t, box, env) => {
    const state = await nativeState(t, box, '2026.9.6');
    if (state === null) return null;
    const [alice, bob] = [loginOf('alice'), loginOf('bob')];
    const carol = state.logins.neighbour;
    await ok(box, env, ['import', '--from', 'openclaw']);
    await ok(box, env, ['alias', keyOf(alice), 'alice']);
    await ok(box, env, ['alias', keyOf(carol), 'carol']);
    await store(box, env, bob, 'bob');
    state.plant(alice);
    return onSlot(state.traits.slot, bob, [alice, bob, carol]);
  },
};

/** The first command of all: key, vault and record are made. */
export const importFirst: Scenario = {
  name: 'import, the very first',
  args: ['import', '--from', '-', '--alias', 'bob', '--json'],
  others: [{ args: ['list', '--json'] }],
  prepare: async () => {
    const bob = loginOf('bob');
    return { ...stored([], [bob]), input: codexAuthJson(bob) };
  },
};

/** The stored one is sealed as a back-up first. */
export const importNewer: Scenario = {
  name: 'import of a newer login over a stored one',
  every: 3,
  args: ['import', '--from', '-', '--json'],
  others: [{ args: ['use', 'bob', '--json'] }, { args: ['list', '--json'] }],
  prepare: async (_, box, env) => {
    const [alice, carol] = [loginOf('alice'), loginOf('carol')];
    const [old, bob] = [loginOf('bob', { issuedAt: Date.now() - 60_000 }), loginOf('bob')];
    makeState(box.stateDir, { release: '2026.5.7', slot: alice });
    await ok(box, env, ['import', '--from', 'openclaw']);
    await store(box, env, carol, 'carol');
    await store(box, env, old, 'bob');
    return { ...stored([alice, carol], [bob]), input: codexAuthJson(bob) };
  },
};

/** The login is moved out of the Codex CLI's home, and never is in no place. */
export const importTake: Scenario = {
  name: 'import --take of the Codex login',
  args: ['import', '--take', '--json'],
  others: [
    { args: ['list', '--json'] },
    // The login of which nothing is stored yet, or which a left-over file still holds.
    { args: ['use', 'bob@example.test', '--json'], allow: ['IDENTITY_NOT_FOUND', 'IDENTITY_IN_USE'] },
  ],
  prepare: async (_, box, env) => {
    const [alice, bob] = [loginOf('alice'), loginOf('bob')];
    makeState(box.stateDir, { release: '2026.5.7', slot: alice });
    await ok(box, env, ['import', '--from', 'openclaw']);
    writeCodexLogin(box, bob);
    const [, arriving] = stored([alice], [bob]).known;
    return {
      known: [newest(alice), ...(arriving ? [{ ...arriving, arrives: false }] : [])],
      // It is taken already.
      again: ['LOGIN_NOT_FOUND'],
      finished: (seen) => [...stored([alice], [bob]).finished(seen), ...noCodex(seen)],
    };
  },
};

export const importOpenClaw: Scenario = {
  name: 'import --from openclaw',
  every: 3,
  args: ['import', '--from', 'openclaw', '--json'],
  others: [LOOKS[0], { args: ['use', 'bob', '--json'] }],
  prepare: async (_, box, env) => {
    const [alice, bob, carol] = [loginOf('alice'), loginOf('bob'), loginOf('carol')];
    const others = { 'openai-codex:carol@example.test': profileOf(carol, '2026.5.7') };
    makeState(box.stateDir, { release: '2026.5.7', slot: alice, others });
    await store(box, env, bob, 'bob');
    const { known, finished } = stored([bob], [alice, carol]);
    return { known: known.map((one) => ({ ...one, arrives: false })), finished };
  },
};

/** Another key for the vault; no record is touched, and one rename decides. */
export const rekey: Scenario = {
  name: 'vault rekey',
  args: ['vault', 'rekey', '--to', 'file', '--json'],
  others: [{ args: ['use', 'bob', '--json'] }, { args: ['vault', 'status', '--check', '--json'] }],
  prepare: async (_, box, env) => {
    const [alice, bob] = [loginOf('alice'), loginOf('bob')];
    makeState(box.stateDir, { release: '2026.5.7', slot: alice });
    await ok(box, env, ['import', '--from', 'openclaw']);
    await store(box, env, bob, 'bob');
    return stored([alice, bob], []);
  },
};

/** The token is spent at the issuer before the answer can be stored: the next command asks again with it, within the issuer's grace. */
export const refresh: Scenario = {
  name: 'refresh of a parked identity',
  args: ['refresh', 'bob', '--json'],
  others: [LOOKS[0], { args: ['use', 'bob', '--json'] }, { args: ['use', 'carol', '--json'] }],
  prepare: async (t, box, given) => {
    const issuer = await startIssuer(t);
    issuer.behaviour.graceMs = 10 * 60_000;
    const env = { ...given, CODEX_ROUTER_TEST_ISSUER: issuer.url };
    const [alice, bob, carol] = [
      issuer.mint(people.alice),
      issuer.mint(people.bob),
      issuer.mint(people.carol),
    ];
    makeState(box.stateDir, { release: '2026.5.7', slot: alice });
    await ok(box, env, ['import', '--from', 'openclaw']);
    await store(box, env, bob, 'bob');
    await store(box, env, carol, 'carol');
    const before = stored([alice, carol], []);
    return {
      env,
      issuer,
      // What it was spent for does not count any more.
      reset: () => issuer.adopt(bob),
      known: [...before.known, { person: bob, isNewest: issuer.isLive }],
      finished: (seen) => {
        const { refresh = '' } = seen.stored.get(keyOf(bob)) ?? {};
        return [
          ...before.finished(seen),
          ...(refresh !== bob.refresh && issuer.isLive(refresh) ? [] : ['bob was not refreshed']),
        ];
      },
    };
  },
};

export const undo: Scenario = {
  name: 'undo of a switch, whose occupant OpenClaw has rotated',
  args: ['undo', '--json'],
  others: [
    { args: ['use', 'carol', '--json'] },
    { args: ['sync', '--json'] },
    LOOKS[0],
    { args: ['use', 'bob', '--json'] },
  ],
  eyes: '2026.5.7',
  prepare: async (_, box, env) => {
    const [alice, old, bob, carol] = [loginOf('alice'), loginOf('bob'), loginOf('bob'), loginOf('carol')];
    const state = { release: '2026.5.7', order: [SLOT] } as const;
    const { paths } = makeState(box.stateDir, { ...state, slot: alice });
    await ok(box, env, ['import', '--from', 'openclaw']);
    await store(box, env, old, 'bob');
    await store(box, env, carol, 'carol');
    await ok(box, env, ['use', 'bob']);
    rotate(paths().profiles, bob);
    // There was but one switch.
    return { ...onSlot(SLOT, alice, [alice, bob, carol]), again: ['NOTHING_TO_UNDO'] };
  },
};

export const sync: Scenario = {
  name: 'sync, after OpenClaw has rotated the occupant',
  every: 3,
  args: ['sync', '--json'],
  others: [{ args: ['use', 'bob', '--json'] }, LOOKS[0]],
  prepare: async (_, box, env) => {
    const [old, alice, bob] = [loginOf('alice'), loginOf('alice'), loginOf('bob')];
    const { paths } = makeState(box.stateDir, { release: '2026.5.7', slot: null });
    await store(box, env, old, 'alice');
    await store(box, env, bob, 'bob');
    await ok(box, env, ['use', 'alice']);
    rotate(paths().profiles, alice);
    return onSlot(SLOT, alice, [alice, bob]);
  },
};

/** The Codex CLI holds the wanted login, and has rotated it. */
export const moveFromCodex: Scenario = {
  name: 'use --move from the Codex CLI',
  every: 3,
  args: ['use', 'bob', '--move', '--json'],
  others: [
    { args: ['use', 'carol', '--json'] },
    { args: ['use', 'bob', '--json'], allow: ['IDENTITY_IN_USE'] },
    ...LOOKS,
  ],
  prepare: async (_, box, env) => {
    const [alice, old, bob, carol] = [loginOf('alice'), loginOf('bob'), loginOf('bob'), loginOf('carol')];
    makeState(box.stateDir, { release: '2026.5.7', slot: alice });
    await ok(box, env, ['import', '--from', 'openclaw']);
    await store(box, env, carol, 'carol');
    writeCodexLogin(box, old);
    await ok(box, env, ['import', '--keep', '--alias', 'bob']);
    writeCodexLogin(box, bob);
    const situation = onSlot(SLOT, bob, [alice, bob, carol]);
    // A killed one may leave what it had set aside; `status` says so, and the next import removes it.
    const left = (seen: Sight) => noCodex(seen).filter((wrong) => wrong.startsWith('auth.json'));
    return { ...situation, finished: (seen) => [...situation.finished(seen), ...left(seen)] };
  },
};

/** Another agent of the same OpenClaw holds the wanted login. */
export const moveFromAgent: Scenario = {
  name: 'use --move from another agent',
  every: 4,
  args: ['use', 'bob', '--move', '--json'],
  others: [
    { args: ['use', 'carol', '--json'] },
    { args: ['use', 'bob', '--json'], allow: ['IDENTITY_IN_USE'] },
    ...LOOKS,
  ],
  eyes: '2026.5.7',
  prepare: async (_, box, env) => {
    const [alice, bob, carol] = [loginOf('alice'), loginOf('bob'), loginOf('carol')];
    makeState(box.stateDir, { release: '2026.5.7', slot: alice, agents: [{ id: 'research', slot: bob }] });
    await ok(box, env, ['import', '--from', 'openclaw']);
    await ok(box, env, ['alias', keyOf(bob), 'bob']);
    await store(box, env, carol, 'carol');
    return onSlot(SLOT, bob, [alice, bob, carol]);
  },
};

/** The login that Codex has there is taken out first, and an access token is put in its place. */
export const lendTake: Scenario = {
  name: 'lend --take, where Codex is signed in',
  every: 3,
  args: ['lend', 'bob', '--take', '--json'],
  others: [{ args: ['unlend', 'bob', '--json'] }, LOOKS[0], { args: ['use', 'bob', '--json'] }],
  prepare: async (_, box, env) => {
    const [alice, bob, carol] = await lenders(box, env);
    const { known, finished } = stored([alice, bob, carol], []);
    const noGrant = (seen: Sight) => onlyCodex(seen, '');
    return { known, finished: (seen) => [...finished(seen), ...noGrant(seen)] };
  },
};

/** Codex becomes the holder of a parked login. */
export const lendMove: Scenario = {
  name: 'lend --move, where Codex is signed in',
  every: 4,
  args: ['lend', 'bob', '--move', '--take', '--json'],
  others: [
    { args: ['unlend', 'bob', '--json'] },
    { args: ['use', 'bob', '--json'], allow: ['IDENTITY_IN_USE'] },
    LOOKS[0],
  ],
  prepare: async (_, box, env) => {
    const [alice, bob, carol] = await lenders(box, env);
    const { known, finished } = stored([alice, bob, carol], []);
    const handed = (seen: Sight) => onlyCodex(seen, bob.refresh);
    return { known, again: ['LENT'], finished: (seen) => [...finished(seen), ...handed(seen)] };
  },
};

/** Codex has rotated what was handed over to it; it comes home, and who was there before goes back. */
export const unlendMoved: Scenario = {
  name: 'unlend of a login that Codex has rotated',
  every: 3,
  args: ['unlend', 'bob', '--json'],
  others: [
    { args: ['use', 'bob', '--json'], allow: ['IDENTITY_IN_USE'] },
    { args: ['lend', 'bob', '--take', '--json'], allow: ['LENT'] },
    LOOKS[0],
  ],
  prepare: async (_, box, env) => {
    const [alice, , carol] = await lenders(box, env);
    await ok(box, env, ['lend', 'bob', '--move', '--take']);
    const rotated = loginOf('bob');
    writeCodexLogin(box, rotated);
    const { known, finished } = stored([alice, rotated, carol], []);
    return { known, finished: (seen) => [...finished(seen), ...onlyCodex(seen, carol.refresh)] };
  },
};

/** Every login of a native setup is stored before all but one of each store are taken out. */
export const takeHost: Scenario = {
  name: 'import --from openclaw --take, of a native OpenClaw with two agents',
  every: 5,
  args: ['import', '--from', 'openclaw', '--take', '--yes', '--json'],
  others: [
    { args: ['use', 'alice@example.test', '--json'], allow: ['IDENTITY_NOT_FOUND'] },
    { args: ['sync', '--json'], allow: ['VAULT_MISSING'] },
    LOOKS[0],
  ],
  eyes: '2026.5.7',
  prepare: async (_, box) => {
    const [alice, bob, carol] = [loginOf('alice'), loginOf('bob'), loginOf('carol')];
    const team = loginOf('bob-team');
    const [aliceId, bobId] = ['openai-codex:alice@example.test', 'openai-codex:bob@example.test'];
    const others = { [aliceId]: alice, [bobId]: bob };
    const pinned = (id: string) => ({ authProfileOverride: id, authProfileOverrideSource: 'user' });
    makeState(box.stateDir, {
      ...{ release: '2026.5.7', slot: team, others, order: [bobId, aliceId] },
      sessions: { 'agent:main:main': pinned(aliceId), 'agent:main:telegram:direct:1': pinned(bobId) },
      agents: [{ id: 'research', slot: carol }],
    });
    const { known, finished } = onSlot(SLOT, bob, [alice, bob, carol, team]);
    const pins = () =>
      JSON.parse(readFileSync(path.join(box.stateDir, 'agents/main/sessions/sessions.json'), 'utf8'));
    return {
      known,
      finished: (seen) => [
        ...finished(seen),
        ...Object.entries<{ authProfileOverride?: string }>(pins())
          .filter(([, { authProfileOverride = SLOT }]) => authProfileOverride !== SLOT)
          .map(([key, { authProfileOverride }]) => `${key} is pinned to ${authProfileOverride}`),
        ...(seen.host.logins.length === 2 ? [] : ['more than one login is left in a store']),
      ],
    };
  },
};

/** Every parked login goes beside the slot, and is nowhere twice. */
export const eject: Scenario = {
  name: 'eject, on a JSON host that rotated the occupant',
  every: 4,
  args: ['eject', '--yes', '--json'],
  others: [{ args: ['use', 'bob', '--json'] }, ...LOOKS, { args: ['sync', '--json'] }],
  eyes: '2026.5.7',
  prepare: async (_, box, env) => {
    const [old, alice, bob, carol] = [loginOf('alice'), loginOf('alice'), loginOf('bob'), loginOf('carol')];
    const { paths } = makeState(box.stateDir, { release: '2026.5.7', slot: old, order: [SLOT] });
    await ok(box, env, ['import', '--from', 'openclaw']);
    await store(box, env, bob, 'bob');
    await store(box, env, carol, 'carol');
    await ok(box, env, ['use', 'bob']);
    await ok(box, env, ['use', keyOf(alice)]);
    rotate(paths().profiles, alice);
    return ejected(SLOT, alice, [alice, bob, carol]);
  },
};

export const ejectSqlite: Scenario = {
  ...eject,
  name: 'eject, on a SQLite host',
  every: 5,
  node: process.execPath,
  eyes: '2026.9.6',
  prepare: async (t, box, env) => {
    const state = await nativeState(t, box, '2026.9.6');
    if (state === null) return null;
    const bob = loginOf('bob');
    const { slot: alice, neighbour: carol } = state.logins;
    await ok(box, env, ['import', '--from', 'openclaw', '--take', '--yes']);
    await store(box, env, bob, 'bob');
    return ejected(state.traits.slot, alice, [alice, bob, carol]);
  },
};

function ejected(slot: string, login: Login, identities: readonly Login[]): Situation {
  const { known, finished } = onSlot(slot, login, identities);
  return {
    known,
    finished: (seen) => [
      ...finished(seen),
      ...identities
        .filter(({ refresh }) => !seen.host.logins.some((one) => one.refresh === refresh))
        .map(({ email }) => `${email} is not in OpenClaw`),
    ],
  };
}

/** An older login returns, and the newer one is sealed in its place. */
export const restore: Scenario = {
  name: 'restore of a back-up',
  every: 3,
  args: ['restore', '1', '--yes', '--json'],
  others: [LOOKS[0], { args: ['restore', '--json'] }, { args: ['use', 'bob', '--json'] }],
  prepare: async (_, box, env) => {
    const [alice, carol] = [loginOf('alice'), loginOf('carol')];
    const [old, bob] = [loginOf('bob', { issuedAt: Date.now() - 60_000 }), loginOf('bob')];
    makeState(box.stateDir, { release: '2026.5.7', slot: alice });
    await ok(box, env, ['import', '--from', 'openclaw']);
    await store(box, env, carol, 'carol');
    await store(box, env, old, 'bob');
    await store(box, env, bob, 'bob');
    const { known, finished } = stored([alice, carol], []);
    return {
      known: [...known, newest(bob, { sealed: true }), newest(old, { sealed: true })],
      finished,
    };
  },
};

export const remove: Scenario = {
  name: 'remove of a parked identity',
  every: 3,
  args: ['remove', 'carol', '--yes', '--json'],
  others: [LOOKS[0], { args: ['use', 'bob', '--json'] }],
  prepare: async (_, box, env) => {
    const [alice, bob, carol] = [loginOf('alice'), loginOf('bob'), loginOf('carol')];
    makeState(box.stateDir, { release: '2026.5.7', slot: alice });
    await ok(box, env, ['import', '--from', 'openclaw']);
    await store(box, env, bob, 'bob');
    await store(box, env, carol, 'carol');
    const { known, finished } = stored([alice, bob], []);
    return {
      known,
      again: ['IDENTITY_NOT_FOUND'],
      finished: (seen) => [
        ...finished(seen),
        ...(seen.stored.has(keyOf(carol)) ? ['carol is still there'] : []),
      ],
    };
  },
};

/**
 * A lock that a killed OpenClaw left, a store that others may read, and another login in the slot, which OpenClaw has rotated: each is
 * mended by itself, and the login comes home before it gives way.
 */
export const doctorFix: Scenario = {
  name: 'doctor --fix of a lock, a mode and a slot',
  every: 8,
  args: ['doctor', '--fix', '--json'],
  others: [{ args: ['use', 'bob', '--json'] }, { args: ['sync', '--json'] }, LOOKS[0]],
  prepare: async (_, box, env) => {
    const [alice, bob, carol] = [loginOf('alice'), loginOf('bob'), loginOf('carol')];
    const old = loginOf('bob', { issuedAt: Date.now() - 60_000 });
    const { paths } = makeState(box.stateDir, { release: '2026.5.7', slot: alice, order: [SLOT] });
    await ok(box, env, ['import', '--from', 'openclaw']);
    await store(box, env, old, 'bob');
    await store(box, env, carol, 'carol');
    await ok(box, env, ['use', 'bob']);
    await ok(box, env, ['use', keyOf(alice)]);
    const { profiles } = paths();
    rotate(profiles, bob);
    const entry = JSON.parse(readFileSync(profiles, 'utf8'));
    Object.assign(entry.profiles[SLOT], { accountId: bob.accountId, email: bob.email });
    writeJson(profiles, entry);
    const lock = `${profiles}.lock`;
    writeFileSync(lock, JSON.stringify({ pid: 4_194_303, createdAt: new Date(0).toISOString() }));
    chmodSync(profiles, 0o644);
    const { known, finished } = onSlot(SLOT, alice, [alice, bob, carol]);
    return {
      known,
      finished: (seen) => [
        ...finished(seen),
        ...(existsSync(lock) ? ['the lock is still there'] : []),
        ...((statSync(profiles).mode & 0o077) === 0 ? [] : ['the store is still open to others']),
      ],
    };
  },
};

/** The slot's entry with the tokens of another login of the same person. */
function rotate(file: string, { access, refresh, expires }: Login): void {
  const store = JSON.parse(readFileSync(file, 'utf8'));
  Object.assign(store.profiles[SLOT], { access, refresh, expires });
  writeJson(file, store);
}

function writeCodexLogin(box: Sandbox, login: Login): void {
  writeFileSync(path.join(box.codexHome, 'auth.json'), codexAuthJson(login), { mode: 0o600 });
}

/** Alice in the slot, bob parked, carol signed in to Codex. */
async function lenders(box: Sandbox, env: Env): Promise<readonly [Login, Login, Login]> {
  const [alice, bob, carol] = [loginOf('alice'), loginOf('bob'), loginOf('carol')];
  makeState(box.stateDir, { release: '2026.5.7', slot: alice });
  await ok(box, env, ['import', '--from', 'openclaw']);
  await store(box, env, bob, 'bob');
  writeCodexLogin(box, carol);
  return [alice, bob, carol];
}

function onlyCodex(seen: Sight, refresh: string): string[] {
  const places = seen.codex.map((one) => `${one.place} ${one.refresh === refresh ? 'right' : 'wrong'}`);
  return places.join() === 'auth.json right' ? [] : [`the Codex home has ${places.join() || 'nothing'}`];
}

function noCodex(seen: Sight): string[] {
  return seen.codex.map(({ place }) => `${place} is still there`);
}

async function store(box: Sandbox, env: Env, login: Login, alias: string): Promise<void> {
  await ok(box, env, ['import', '--from', '-', '--alias', alias], codexAuthJson(login));
}

async function ok(box: Sandbox, env: Env, args: readonly string[], input?: string): Promise<void> {
  const run = await router(box, args, { env, ...(input === undefined ? {} : { input }) });
  if (run.code !== 0) throw new Error(`${args.join(' ')} failed: ${run.stdout}${run.stderr}`);
}

/** The main chat and a direct one are pinned to the slot already. */
function pinnedSessions(): Record<string, Record<string, unknown>> {
  const sessions = chatSessions();
  const direct = 'agent:main:telegram:direct:1001';
  return { ...sessions, [direct]: { ...sessions[direct], ...PIN } };
}

/** The command ends with this login in the slot, and every identity's newest grant in the repo. */
function onSlot(slot: string, login: Login, identities: readonly Login[]): Situation {
  const { known, finished } = stored(identities, []);
  return {
    known,
    finished: (seen) => {
      const there = seen.host.logins.find(({ profileId }) => profileId === slot);
      const right = there?.refresh === login.refresh && there.access === login.access;
      return [...finished(seen), ...(right ? [] : [`${slot} is not ${login.email}`])];
    },
  };
}

/** The command ends with all of these in the repo; some come with it. */
function stored(
  before: readonly Login[],
  arriving: readonly Login[],
): { readonly known: readonly Known[]; readonly finished: (seen: Sight) => readonly string[] } {
  return {
    known: [
      ...before.map((login) => newest(login)),
      ...arriving.map((login) => newest(login, { arrives: true })),
    ],
    finished: (seen) =>
      [...before, ...arriving]
        .filter((login) => seen.stored.get(keyOf(login))?.refresh !== login.refresh)
        .map((login) => `the repo has not the newest grant of ${login.email}`),
  };
}

const OWN_SLOT = 'openai-codex:router-1';
const ROOM = 'agent:main:discord:channel:555';

/** Alice in the slot and nearly at her limit, bob parked, who has plenty left. */
async function limited(t: Tester, box: Sandbox, given: Env) {
  const issuer = await startIssuer(t);
  const env = { ...given, CODEX_ROUTER_TEST_ISSUER: issuer.url };
  const [alice, bob] = [issuer.mint(people.alice), issuer.mint(people.bob)];
  makeState(box.stateDir, { release: '2026.5.7', slot: alice, order: [SLOT], sessions: pinnedSessions() });
  await ok(box, env, ['import', '--from', 'openclaw']);
  await store(box, env, bob, 'bob');
  const limits = limitsOf(issuer, simulatedClock(box));
  for (const person of [people.alice, people.bob]) limits.give(person, { fiveHour: 100, week: 1000 });
  limits.spend(people.alice, 95);
  return { issuer, env, alice, bob };
}

const FAILOVER = ['failover', 'once', '--own-slot', '--session', ROOM, '--apply', '--json'] as const;
const LEAVE = ['failover', 'leave', '--session', ROOM, '--apply', '--json'] as const;

/** A login into a second place of the store, and one session's pin to it. */
export const ownSlot: Scenario = {
  name: 'failover of one session into an own slot',
  every: 4,
  args: FAILOVER,
  others: [
    { args: ['sync', '--json'] },
    { args: ['use', 'bob', '--json'], allow: ['IN_OWN_SLOT'] },
    { args: LEAVE, allow: ['OWN_SLOT_NOT_FOUND'] },
    LOOKS[1],
  ],
  eyes: '2026.5.7',
  prepare: async (t, box, given) => {
    const { issuer, env, alice, bob } = await limited(t, box, given);
    const { known, finished } = onSlot(SLOT, alice, [alice, bob]);
    return { known, issuer, env, finished: (seen) => [...finished(seen), ...ownSlotHas(box, seen, bob)] };
  },
};

/** OpenClaw has rotated the login in the own slot: it comes home, and nobody stays pinned to what is gone. */
export const ownSlotLeft: Scenario = {
  name: 'the leaving of an own slot whose login OpenClaw rotated',
  every: 4,
  args: LEAVE,
  others: [
    { args: ['sync', '--json'] },
    { args: ['use', 'bob', '--json'], allow: ['IN_OWN_SLOT'] },
    LOOKS[0],
  ],
  eyes: '2026.5.7',
  prepare: async (t, box, given) => {
    const { issuer, env, alice } = await limited(t, box, given);
    await ok(box, env, FAILOVER);
    const rotated = issuer.mint(people.bob);
    const file = path.join(box.stateDir, 'agents/main/agent/auth-profiles.json');
    const { access, refresh, expires } = rotated;
    const held = JSON.parse(readFileSync(file, 'utf8'));
    Object.assign(held.profiles[OWN_SLOT], { access, refresh, expires });
    writeJson(file, held);
    const { known, finished } = onSlot(SLOT, alice, [alice, rotated]);
    return {
      ...{ known, issuer, env },
      // It has none any more.
      again: ['OWN_SLOT_NOT_FOUND'],
      finished: (seen) => [...finished(seen), ...ownSlotHas(box, seen, null)],
    };
  },
};

/** The own slot holds this login and one session is pinned to it; for null, neither. */
function ownSlotHas(box: Sandbox, seen: Sight, login: Login | null): readonly string[] {
  const held = seen.host.logins.find(({ profileId }) => profileId === OWN_SLOT)?.refresh;
  const file = path.join(box.stateDir, 'agents/main/sessions/sessions.json');
  const entries = Object.entries<{ authProfileOverride?: string }>(JSON.parse(readFileSync(file, 'utf8')));
  const pinned = entries.flatMap(([key, pin]) => (pin.authProfileOverride === OWN_SLOT ? [key] : []));
  return [
    ...(held === login?.refresh ? [] : ['the own slot holds something else']),
    ...(pinned.join() === (login === null ? '' : ROOM) ? [] : [`pinned to it are: ${pinned.join()}`]),
  ];
}
