import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { identityOf } from '../../src/claims.js';
import { RouterError } from '../../src/errors.js';
import { type Identity, identityKey } from '../../src/identity.js';
import { locateHost } from '../../src/openclaw/locate.js';
import { repoFiles } from '../../src/repo/files.js';
import { type Journal, journalIn } from '../../src/repo/journal.js';
import { openedRepo } from '../../src/repo/opened.js';
import type { RepoDeps } from '../../src/repo/opening.js';
import type { OpenRepo, Repo } from '../../src/repo/repo.js';
import { openRepoAt } from '../../src/repo/store.js';
import { initVault } from '../../src/repo/vault.js';
import type { UseDeps } from '../../src/router/use.js';
import type { Host, ReloadOutcome } from '../../src/slot/host.js';
import type { Slot } from '../../src/slot/slot.js';
import { fakeJournal } from '../contract/fake-journal.js';
import { fakeRepo } from '../contract/fake-repo.js';
import { makeState, type OpenClawState, profileOf, readJson, SLOT, writeJson } from '../kit/state.js';
import { type Login, type PersonName, people } from '../kit/tokens.js';
import { testDeps } from '../repo/support.js';
import { type IssuerModel, issuerModel, type Weather } from './family.js';
import { type Tear, type Trip, type Tripwire, tripwire } from './tripwire.js';

export const AGENTS = ['main', 'ops'] as const;
export type Agent = (typeof AGENTS)[number];
export const PEOPLE = ['alice', 'alice-team', 'bob-team', 'bob'] as const satisfies readonly PersonName[];
export type Who = (typeof PEOPLE)[number];

/** What happens to one command while it runs. */
export interface Mishap {
  readonly trip: Trip | null;
  /** OpenClaw refreshes the slot of that agent right before the command's call, or its write, of this number. */
  readonly race: { readonly before: 'call' | 'write'; readonly at: number; readonly agent: Agent } | null;
  /** One for each request; fair after the last. */
  readonly weather: readonly Weather[];
  /** While a request is under way. */
  readonly meanwhile: () => Promise<void>;
}

/** One codex-router process. */
export interface Command {
  readonly deps: UseDeps;
  readonly open: OpenRepo;
  readonly killed: boolean;
}

/** Where every refresh token is now. */
export interface Look {
  readonly stored: ReadonlyMap<Who, string>;
  readonly slots: Readonly<Record<Agent, string | null>>;
  /** In back-ups. */
  readonly sealed: readonly string[];
}

/** An OpenClaw 2026.5.7 of two agents on real files, an issuer, a person with login files, and a codex-router that can be killed. */
export interface World {
  readonly issuer: IssuerModel;
  /** Login files that were not imported yet. */
  readonly files: Map<Who, Login>;
  /** Makes this machine's clock wrong by that many more ms. */
  skew(by: number): void;
  /** ms */
  pass(time: number): void;
  command(mishap: Mishap): Promise<Command>;
  /** Whose login lies in the agent's own slot, by its token. */
  occupant(agent: Agent): Who | null;
  hostLogin(agent: Agent, who: Who): void;
  /** As OpenClaw does it: what is in the slot is sent, and the answer put there, unless it gets lost. */
  hostRefresh(agent: Agent, isLost: boolean): Promise<void>;
  look(): Promise<Look>;
  remove(): void;
}

const START = Date.UTC(2026, 5, 1);

/** @param real the encrypted repo on disk; else the one in memory. @param gateway whether OpenClaw's gateway runs */
export async function makeWorld(real: boolean, gateway: boolean): Promise<World> {
  // Nothing here cuts the power, so a folder in memory, where there is one, will do.
  const room = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
  const root = mkdtempSync(path.join(room, 'codex-router-model-'));
  const state = makeState(path.join(root, 'openclaw'), {
    release: '2026.5.7',
    sessions: {},
    agents: [{ id: 'ops' }],
  });
  let clock = START;
  const files = new Map<Who, Login>();
  let skew = 0;
  const now = () => clock + skew;
  const issuer = issuerModel(
    () => clock,
    async () => look(),
  );
  const store = real ? await onDisk(root, now) : inMemory(now);
  // Located once: it keeps nothing of what it reads, and each time costs more than the command.
  const located = await hostIn(state, gateway, now);

  const tokenIn = (agent: Agent): string | null => entryIn(state, agent)?.refresh ?? null;

  async function look(): Promise<Look> {
    const open = await store.repo().open();
    const stored = new Map<Who, string>();
    for (const { identity } of await open.list()) {
      const { grant } = await open.load(identityKey(identity));
      // Under its own key, or it is another's.
      if (identityKey(identityOf(grant.accessToken)) !== identityKey(identity)) {
        throw new Error(`the record of ${identityKey(identity)} holds another one's login`);
      }
      stored.set(nameOf(identity), grant.refreshToken.reveal());
    }
    const sealed: string[] = [];
    for (const { id } of await open.backUps()) {
      sealed.push((await open.openBackUp(id)).grant.refreshToken.reveal());
    }
    const found = { stored, slots: { main: tokenIn('main'), ops: tokenIn('ops') }, sealed };
    issuer.deliver(tokensOf(found));
    return found;
  }

  function put(agent: Agent, login: Login): void {
    const { profiles } = state.paths(agent);
    const before = storeIn(state, agent);
    const entries = { ...before.profiles, [SLOT]: profileOf(login, state.release) };
    writeJson(profiles, { version: 1, ...before, profiles: entries });
  }

  async function hostRefresh(agent: Agent, isLost: boolean): Promise<void> {
    // An agent without a login of its own runs on main's.
    const where = tokenIn(agent) === null ? 'main' : agent;
    const token = tokenIn(where);
    if (token === null) return;
    const login = await issuer.renew(token);
    if (login === null || isLost) return;
    put(where, login);
    issuer.deliver([login.refresh]);
  }

  const world: World = {
    issuer,
    files,
    skew(by) {
      skew += by;
    },
    pass(time) {
      clock += time;
    },
    occupant(agent) {
      const token = tokenIn(agent);
      return token === null ? null : whoOf(issuer, token);
    },
    hostLogin: (agent, who) => put(agent, issuer.login(who)),
    hostRefresh,
    look,
    remove: () => rmSync(root, { recursive: true, force: true }),
    async command({ trip, race, weather, meanwhile }) {
      const wire = tripwire(trip);
      wire.onCall = async (call, write) => {
        if (race !== null && race.at === (race.before === 'call' ? call : write)) {
          await hostRefresh(race.agent, false);
        }
      };
      const skies = [...weather];
      const repo = store.repo();
      const open = wire.guard(await repo.open(), {
        save: store.tearSave,
        remove: store.tearRemove,
        place: null,
        doubt: null,
        backUp: null,
        outgrow: null,
      });
      const host = guardHost(located, wire, (slot) => tearSlot(state, slot));
      const locks: string[] = [];
      const within = async <T>(name: 'grant' | 'router', work: () => Promise<T>): Promise<T> => {
        if (locks.includes('router') || locks.includes(name))
          throw new Error(`${name} lock inside ${locks.join()}`);
        locks.push(name);
        try {
          return await work();
        } finally {
          locks.pop();
        }
      };
      const deps: UseDeps = {
        repo: wire.guard(repo, { remove: store.tearRemove }),
        opening: Promise.resolve(open),
        host,
        outside: [],
        hostAt: async () => {
          throw new RouterError('HOST_NOT_FOUND', 'there is no other OpenClaw');
        },
        journal: wire.guard(store.journal(), { begin: null, advance: null }),
        endpoint: wire.guard(
          issuer.endpoint(() => skies.shift() ?? 'fair', meanwhile),
          { refresh: null },
        ),
        withLock: (work) => within('router', work),
        withGrantLock: (_, work) => within('grant', work),
        critical: (work) => work(),
        pause: async () => undefined,
        now,
        env: {},
      };
      return {
        deps,
        open,
        get killed() {
          return wire.dead;
        },
      };
    },
  };
  return world;
}

export function tokensOf({ stored, slots, sealed }: Look): string[] {
  const inSlots = Object.values(slots).filter((token) => token !== null);
  return [...stored.values(), ...inSlots, ...sealed];
}

interface Store {
  /** As a new process opens it. */
  repo(): Repo;
  journal(): Journal;
  readonly tearSave: Tear | null;
  readonly tearRemove: Tear | null;
}

function inMemory(now: () => number): Store {
  const repo = fakeRepo(now);
  const journal = fakeJournal();
  return { repo: () => repo, journal: () => journal, tearSave: null, tearRemove: null };
}

async function onDisk(root: string, now: () => number): Promise<Store> {
  const data = path.join(root, 'data');
  const deps: RepoDeps = testDeps({ folders: { data, config: path.join(root, 'config') }, now });
  const { vault } = await initVault(deps, { kind: 'file', keyFile: null });
  const files = repoFiles(data);
  return {
    repo: () => ({ ...openRepoAt(deps), open: async () => openedRepo({ files, vault, now }) }),
    journal: () => journalIn(data),
    // The record is written before the index, and the index before the record is deleted.
    tearSave: async (work) => {
      const index = path.join(data, 'index.json');
      // The first save of all writes an empty index before its record.
      const back = existsSync(index) ? keep([index]) : () => undefined;
      await work();
      back();
    },
    tearRemove: async (work) => {
      const records = path.join(data, 'records');
      const back = keep(existsSync(records) ? filesIn(records) : []);
      await work();
      back();
    },
  };
}

/** JSON in two files: with a login in the slot the choice is written first, else the entry. */
function tearSlot(state: OpenClawState, { address }: Slot): Tear {
  return async (work) => {
    const paths = state.paths(address.agent);
    const back = keep([entryIn(state, address.agent) === undefined ? paths.state : paths.profiles]);
    await work();
    back();
  };
}

/** What puts these files back as they are now, times included. */
function keep(files: readonly string[]): () => void {
  const kept = files
    .filter((file) => existsSync(file))
    .map((file) => ({ file, bytes: readFileSync(file), at: statSync(file).mtime }));
  return () => {
    for (const file of files) if (!kept.some((one) => one.file === file)) rmSync(file, { force: true });
    for (const { file, bytes, at } of kept) {
      writeFileSync(file, bytes, { mode: 0o600 });
      utimesSync(file, at, at);
    }
  };
}

function filesIn(folder: string): string[] {
  return readdirSync(folder).map((name) => path.join(folder, name));
}

type StoreDocument = { readonly profiles?: { readonly [id: string]: { readonly refresh?: string } } };

function storeIn(state: OpenClawState, agent: Agent): StoreDocument {
  const { profiles } = state.paths(agent);
  return existsSync(profiles) ? (readJson(profiles) as StoreDocument) : {};
}

function entryIn(state: OpenClawState, agent: string): { readonly refresh?: string } | undefined {
  return storeIn(state, agent === 'main' ? 'main' : 'ops').profiles?.[SLOT];
}

async function hostIn(state: OpenClawState, gateway: boolean, now: () => number): Promise<Host> {
  const effective: ReloadOutcome['effective'] = gateway ? 'now' : 'no-gateway';
  return locateHost({
    env: { OPENCLAW_STATE_DIR: state.dir, HOME: state.dir, PATH: '' },
    platform: process.platform,
    options: {},
    now,
    reload: async () => ({ effective, proved: gateway, advice: null, notes: [] }),
    activeRuns: async () => new Set(),
  });
}

function guardHost(host: Host, { guard }: Tripwire, tearOf: (slot: Slot) => Tear): Host {
  const slots = new Map<Slot, Slot>();
  const guarded = (slot: Slot): Slot => {
    const known = slots.get(slot) ?? guard(slot, { replace: tearOf(slot) });
    slots.set(slot, known);
    return known;
  };
  const outer = guard(host, { claim: null });
  return {
    ...outer,
    slotsFor: async (agent) => {
      const group = await outer.slotsFor(agent);
      const { main, copies, choosers } = group;
      return {
        ...group,
        main: guarded(main),
        copies: copies.map(guarded),
        choosers: choosers.map(guarded),
      };
    },
    allSlots: async () => (await outer.allSlots()).map(guarded),
    ownSlots: async (agent) => (await outer.ownSlots(agent)).map(guarded),
    ownSlot: async (agent, n) => guarded(await outer.ownSlot(agent, n)),
    everyOwnSlot: async () => (await outer.everyOwnSlot()).map(guarded),
    pinsOf: (agent) => guard(host.pinsOf(agent), { set: null }),
  };
}

function whoOf(issuer: IssuerModel, token: string): Who | null {
  const who = issuer.familyOf(token)?.who;
  return PEOPLE.find((name) => name === who) ?? null;
}

export function nameOf({ accountId, userId }: Pick<Identity, 'accountId' | 'userId'>): Who {
  const found = PEOPLE.find((name) => people[name].accountId === accountId && people[name].userId === userId);
  if (found === undefined) throw new Error(`nobody is ${accountId}/${userId}`);
  return found;
}
