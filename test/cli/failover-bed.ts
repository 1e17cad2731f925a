import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import { type Issuer, startIssuer } from '../kit/issuer.js';
import { HOUR, type Limits, limitsOf, simulatedClock } from '../kit/limits.js';
import { leaksOf, type RouterOptions, type RouterRun, router, type Sandbox, sandbox } from '../kit/router.js';
import { chatSessions, makeState, PIN, PROVIDER, SLOT } from '../kit/state.js';
import { type Stores, storesOf } from '../kit/stores.js';
import { codexAuthJson, DAY, type Login, people } from '../kit/tokens.js';
import { entryOf, makeSqliteState, SLOT as SQLITE_SLOT } from '../openclaw/sqlite-state.js';

export const MAIN = 'agent:main:main';
export const SLASH = 'agent:main:telegram:slash:1001';
export const ROOM = 'agent:main:discord:channel:555';
export const TOPIC = 'agent:main:telegram:group:-1001234567890:topic:42';
/** In every entry of a session, and nowhere else: whoever copies one is found. */
export const MARK = 'said in confidence';

const { alice, bob, carol } = people;
const team = people['bob-team'];

/**
 * An OpenClaw with alice in its slot, nearly at her limit, and bob and a Team seat parked beside her; carol's login lies in the same store and was
 * never given to codex-router. Nobody was active for an hour.
 */
export interface FailoverBed {
  readonly box: Sandbox;
  readonly issuer: Issuer;
  readonly limits: Limits;
  readonly stores: Stores;
  readonly logins: { readonly [Name in 'alice' | 'bob' | 'team' | 'carol']: Login };
  /** The profile ids of the slot, of the first own slot, and of carol's login. */
  readonly slot: string;
  readonly ownSlot: string;
  readonly neighbour: string;
  /** `codex-router failover ...` */
  failover(line: string, options?: RouterOptions): Promise<RouterRun>;
  run(args: readonly string[], options?: RouterOptions): Promise<RouterRun>;
  /** What config.json says of failover from now on. */
  configure(failover: object): void;
  /** Whose login a turn of the session would be made with: an alias; the host's own rules for a pin and for none. */
  onTheWire(session: string): string | null;
  /** Every file of the whole home, with its mode. */
  image(): Record<string, string>;
  /** Everything else that a session's entry and the host's files hold, the named sessions left out. */
  besides(...sessions: readonly string[]): object;
  /** What failover itself has written. */
  readonly folder: string;
}

/** @param elsewhere sessions that their person has pinned to carol's login */
export type MakeBed = (t: Test, elsewhere?: readonly string[]) => Promise<FailoverBed>;

export const jsonBed: MakeBed = async (t, elsewhere = []) => {
  const sessions: Record<string, Record<string, unknown>> = Object.fromEntries(
    Object.entries(chatSessions()).map(([key, fields]) => [key, { ...fields, label: MARK }]),
  );
  for (const key of [MAIN, SLASH]) sessions[key] = { ...sessions[key], ...PIN };
  for (const key of elsewhere)
    sessions[key] = { ...sessions[key], ...PIN, authProfileOverride: `${PROVIDER}:${carol.email}` };
  return bed(t, '2026.5.7', SLOT, (dir, logins) => {
    makeState(dir, {
      ...{ release: '2026.5.7', slot: logins.alice, sessions },
      others: { [`${PROVIDER}:${carol.email}`]: logins.carol },
      order: [SLOT],
    });
  });
};

export const sqliteBed: MakeBed = async (t, elsewhere = []) => {
  const pin = { authProfileOverride: SQLITE_SLOT, authProfileOverrideSource: 'user' };
  const telegram = {
    ...{ channel: 'telegram', accountId: 'default', target: { to: 'telegram:1001' } },
  };
  return bed(t, '2026.9.6', SQLITE_SLOT, (dir, logins, updatedAt) => {
    const chat = (more: object = {}) => ({ updatedAt, chatType: 'direct', label: MARK, ...more });
    const other = (key: string) =>
      elsewhere.includes(key) ? { ...pin, authProfileOverride: `openai:${carol.email}` } : {};
    makeSqliteState(dir, {
      release: '2026.9.6',
      profiles: { [SQLITE_SLOT]: entryOf(logins.alice), [`openai:${carol.email}`]: logins.carol },
      selection: { order: { openai: [SQLITE_SLOT] } },
      sessions: {
        [MAIN]: chat({
          ...pin,
          delivery: {
            ...{ kind: 'external', route: telegram },
            origin: { from: 'telegram:1001', provider: 'telegram' },
          },
        }),
        [SLASH]: chat({ ...pin, delivery: { kind: 'none' } }),
        [ROOM]: chat({ chatType: 'channel', ...other(ROOM) }),
        [TOPIC]: chat({ chatType: 'group', ...other(TOPIC) }),
        'agent:main:subagent:99999999-9999-4999-8999-999999999999': chat({ spawnedBy: MAIN }),
        'agent:main:cron:job1': chat(),
      },
    });
  });
};

async function bed(
  t: Test,
  release: '2026.5.7' | '2026.9.6',
  slot: string,
  make: (dir: string, logins: FailoverBed['logins'], updatedAt: number) => void,
): Promise<FailoverBed> {
  const box = sandbox(t);
  const issuer = await startIssuer(t);
  const clock = simulatedClock(box);
  const limits = limitsOf(issuer, clock);
  Object.assign(box.env, clock.env, { CODEX_ROUTER_KEY: 'file', CODEX_ROUTER_TEST_ISSUER: issuer.url });
  const mint = (person: typeof alice | typeof bob | typeof carol | typeof team) =>
    issuer.mint(person, { expiresAt: clock.now() + 30 * DAY });
  const logins = { alice: mint(alice), bob: mint(bob), team: mint(team), carol: mint(carol) };
  make(box.stateDir, logins, clock.now() - HOUR);
  const stores = storesOf(box.stateDir, release);
  const run: FailoverBed['run'] = (args, options) => router(box, args, options);
  const done = async (line: string, input?: string) => {
    const ran = await run(line.split(' '), input === undefined ? {} : { input });
    if (ran.code !== 0) throw new Error(`${line}: ${ran.stderr}`);
  };
  await done('import --from - --alias first', codexAuthJson(logins.alice));
  await done('import --from - --alias second', codexAuthJson(logins.bob));
  await done('import --from - --alias third', codexAuthJson(logins.team));
  await done(`use first --session ${MAIN}`);
  clock.leap(HOUR);
  limits.give(alice, { fiveHour: 100, week: 1000 });
  limits.give(bob, { fiveHour: 100, week: 1000 });
  limits.give(team, { fiveHour: 100, week: 1000 });
  limits.give(carol, { fiveHour: 100, week: 1000 });
  limits.spend(alice, 95);
  limits.spend(team, 40);
  const config = path.join(box.env.XDG_CONFIG_HOME ?? '', 'codex-router', 'config.json');
  const provider = slot.split(':')[0] ?? '';
  const neighbour = `${provider}:${carol.email}`;
  t.teardown(() => {
    const leaks = leaksOf(box);
    if (leaks.length > 0) throw new Error(`tokens leaked: ${JSON.stringify(leaks)}`);
    if (issuer.reuses().length > 0) throw new Error('a token was spent twice');
  });
  return {
    ...{ box, issuer, limits, stores, logins, slot, neighbour, run },
    ownSlot: `${provider}:router-1`,
    folder: path.join(box.routerHome, 'failover'),
    failover: (line, options) => run(['failover', ...line.split(' ')], options),
    configure: (failover) => {
      mkdirSync(path.dirname(config), { recursive: true, mode: 0o700 });
      writeFileSync(config, JSON.stringify({ failover }), { mode: 0o600 });
    },
    onTheWire: (session) => {
      const pinned = stores.sessions()[session]?.authProfileOverride;
      const order = stores.selection().order?.[provider] ?? [];
      const id = typeof pinned === 'string' ? pinned : order[0];
      const held = stores.profiles()[id ?? '']?.refresh;
      const named = Object.entries(logins).find(([, { refresh }]) => refresh === held);
      return named?.[0] ?? null;
    },
    image: () => imageOf(box.root),
    besides: (...sessions) => {
      const { sessions: entries, ...rest } = stores.snapshot();
      const { main = {}, ...agents } = entries;
      const others = Object.entries(main).filter(([key]) => !sessions.includes(key));
      // As text: members that only changed their places are a change.
      return { ...rest, agents, others: others.map(([key, entry]) => [key, JSON.stringify(entry)]) };
    },
  };
}

/** Path -> mode and bytes. */
export function imageOf(folder: string): Record<string, string> {
  const names = ['.', ...readdirSync(folder, { recursive: true, encoding: 'utf8' })].sort();
  return Object.fromEntries(
    names.map((name) => {
      const file = path.join(folder, name);
      const about = lstatSync(file);
      const held = about.isSymbolicLink()
        ? readlinkSync(file)
        : about.isFile()
          ? readFileSync(file, 'base64')
          : '';
      return [name, `${about.mode.toString(8)} ${held}`];
    }),
  );
}

/** The files of a folder and what they hold as text; none where there is no such folder. */
export function textsOf(folder: string): Record<string, string> {
  let names: string[] = [];
  try {
    names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  } catch {
    return {};
  }
  const files = names.filter((name) => lstatSync(path.join(folder, name)).isFile());
  return Object.fromEntries(files.map((name) => [name, readFileSync(path.join(folder, name), 'utf8')]));
}
