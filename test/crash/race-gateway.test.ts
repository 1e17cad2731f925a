import { randomUUID } from 'node:crypto';
import { mkdirSync, rmdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { freePort } from '../kit/backend.js';
import { gatewayHost } from '../kit/gateway-host.js';
import { callGateway } from '../kit/gateway-process.js';
import { type Issuer, startIssuer } from '../kit/issuer.js';
import { openclaw } from '../kit/openclaw.js';
import { until } from '../kit/process.js';
import { real } from '../kit/real.js';
import { everyReleaseAsked, type Release, releasesToRun } from '../kit/releases.js';
import { type JsonDocument, leaksOf, type Sandbox, sandbox } from '../kit/router.js';
import { chatSessions, makeState } from '../kit/state.js';
import { type Stores, storesOf } from '../kit/stores.js';
import { codexAuthJson, type Login, type Person, people } from '../kit/tokens.js';
import { figure, LONGER, SEED } from './figures.js';
import { chances, crowd, lostIn, oneOf, type Ran, readBooks, startWorkers, wrongIn } from './race.js';

const BUSY = 75;
/** ms after which a race that never came about is called a failure. */
const AT_MOST_MS = 240_000;
/** What a note says when a busy machine's gateway did not answer within codex-router's bounds. */
const TOO_SLOW = /did not say in time|did not end within|GATEWAY_TIMEOUT|GATEWAY_STARTING/;
const CHATS = ['main', 'telegram:direct:1001', 'discord:channel:555', 'slack:channel:c0123'].map(
  (chat) => `agent:main:${chat}`,
);

/** A real gateway on a state directory whose slot holds `occupant`. */
interface Claw {
  readonly port: number;
  readonly node: string;
  readonly stores: Stores;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Another login of the same provider in the store, to which one chat is pinned. JSON releases only. */
interface Elsewhere {
  readonly login: Login;
  readonly profileId: string;
  readonly chat: string;
}

async function clawOf(
  t: Test,
  box: Sandbox,
  release: Release,
  issuer: Issuer,
  occupant: Login,
  elsewhere: Elsewhere | null,
): Promise<Claw | null> {
  const found = real(t, 'node24');
  if (found === null) return null;
  const stores = storesOf(box.stateDir, release);
  if (release !== '2026.5.7') {
    const host = await gatewayHost(t, box, release, issuer);
    if (host === null) return null;
    await host.put(occupant);
    const { port, node, start, stop } = host;
    return { port, node, stores, start, stop };
  }
  const claw = openclaw(t, box, release, issuer);
  if (claw === null) return null;
  const state = makeState(box.stateDir, {
    release,
    slot: occupant,
    baseUrl: `${issuer.url}/backend-api`,
    port: await freePort(),
    ...(elsewhere && {
      others: { [elsewhere.profileId]: elsewhere.login },
      sessions: {
        ...chatSessions(),
        [elsewhere.chat]: {
          authProfileOverride: elsewhere.profileId,
          authProfileOverrideSource: 'user',
        },
      },
    }),
  });
  let stop: Claw['stop'] = async () => undefined;
  const start = async () => {
    ({ stop } = await claw.startGateway(state));
  };
  return { port: state.port, node: found.node24, stores, start, stop: () => stop() };
}

/** What the databases say, once the gateway does not write to them for a moment. */
function whenQuiet<T extends object>(look: () => T | Promise<T>): Promise<T> {
  return until('nobody writes to the databases', async () => {
    try {
      return await look();
    } catch (error) {
      if (!String(error).includes('database is locked')) throw error;
      return null;
    }
  }) as Promise<T>;
}

/** One turn of a chat, finished when this returns; why it failed, or null. */
async function turn(claw: Claw, sessionKey: string): Promise<string | null> {
  const call = (method: string, params: object) => callGateway(claw.port, method, params);
  const { runId } = (await call('agent', {
    message: 'ping',
    agentId: 'main',
    sessionKey,
    deliver: false,
    idempotencyKey: randomUUID(),
  })) as JsonDocument;
  const { status, error } = (await call('agent.wait', { runId, timeoutMs: 60_000 })) as JsonDocument;
  return status === 'ok' ? null : `${status}: ${error}`;
}

/** Everyone in a codex-router of this box, the first of them in the slot; a way to run it, and the logins. */
async function stage(t: Test, release: Release, count: number, pinned?: Omit<Elsewhere, 'login'>) {
  const issuer = await startIssuer(t);
  const box = sandbox(t);
  box.env.CODEX_ROUTER_KEY = 'file';
  box.env.CODEX_ROUTER_TEST_ISSUER = issuer.url;
  const persons = crowd(count);
  const logins = persons.map((person) => issuer.mint(person));
  const [first, ...others] = logins;
  if (first === undefined) throw new Error('nobody is there');
  const login = issuer.mint(people.alice);
  const claw = await clawOf(t, box, release, issuer, first, pinned ? { ...pinned, login } : null);
  if (claw === null) return null;
  const workers = await startWorkers(t, box, claw.node, 2);
  const [lead] = workers;
  if (lead === undefined) throw new Error('nobody works');
  const files = path.join(box.root, 'logins');
  mkdirSync(files, { mode: 0o700 });
  for (const login of others) {
    const file = path.join(files, `${login.userId}.json`);
    writeFileSync(file, codexAuthJson(login), { mode: 0o600 });
    t.match(await lead.run(['import', '--from', file]), { status: 0 });
  }
  t.match(await lead.run(['sync']), { status: 0 });
  /** The same `use` again while the gateway was merely too slow to answer, as its note advises: the last answer. */
  const useUntilTold = (who: Person, ...more: readonly string[]): Promise<Ran> =>
    until(
      'the gateway answers in time',
      async () => {
        const ran = await lead.run(['use', who.accountId, ...more]);
        return ran.status !== BUSY && !TOO_SLOW.test(JSON.stringify(ran.json.notes)) ? ran : null;
      },
      180_000,
    );
  return { issuer, box, persons, claw, workers, lead, useUntilTold };
}

const releases = (...wanted: Release[]) => wanted.filter((release) => releasesToRun().includes(release));

/** Where time is short, one of files and one of databases. */
const RACED: readonly Release[] = everyReleaseAsked
  ? ['2026.5.7', '2026.6.1', '2026.7.35', '2026.9.6']
  : ['2026.5.7', '2026.9.6'];

for (const release of releases(...RACED)) {
  t.test(`${release}: switches, refreshes and turns at the same time lose nothing`, async (t) => {
    const set = await stage(t, release, 5);
    if (set === null) return;
    const { issuer, box, persons, claw, workers, lead, useUntilTold } = set;
    const [first] = persons;
    if (first === undefined) throw new Error('nobody races');
    const slot = `main/${claw.stores.traits.slot}`;
    await claw.start();
    for (const chat of CHATS) t.equal(await turn(claw, chat), null, `${chat} works`);
    // A gateway that reads sessions.json keeps a copy for up to 45 s, and where a busy machine lets it stamp that copy with the time
    // of our write it brings it back later: here no gateway has ever seen the chats unpinned.
    await claw.stop();
    t.match(await lead.run(['use', first.accountId, '--all-sessions']), { status: 0 });
    // No undo goes behind the beginning: it would take the first pins of the chats back, as it should.
    rmSync(path.join(box.routerHome, 'journal.jsonl'));
    await claw.start();
    const before = await whenQuiet(() => claw.stores.sessions());
    t.strictSame(
      CHATS.map((key) => before[key]?.authProfileOverride),
      CHATS.map(() => claw.stores.traits.slot),
      'every chat begins on the slot',
    );

    const answers = new Map<string, number>();
    const count = (name: string) => void answers.set(name, (answers.get(name) ?? 0) + 1);
    const complaints: string[] = [];
    let repaired = 0;
    const note = ({ args, status, json }: Ran) => {
      const [command = ''] = args;
      const code = json.ok ? (json.result ?? 'ok') : json.error.code;
      count(`${command} ${code}`);
      for (const { code: said, text } of json.notes ?? []) {
        if (/REPAIRED|OVERWRITTEN|LOST|TAKEN_BACK/.test(said)) count(`${command} says ${said}`);
        if (said === 'PINS_REPAIRED') repaired += Number(/\d+/.exec(text)?.[0] ?? 1);
      }
      const right =
        status === 0 ||
        status === BUSY ||
        ['IDENTITY_IN_USE', 'NOTHING_TO_UNDO', 'NO_PREVIOUS'].includes(code);
      if (!right) complaints.push(`${args.join(' ')}: ${status} ${JSON.stringify(json.error)}`);
      for (const { result, why } of json.refreshed ?? []) {
        if (['login-needed', 'failed', 'unanswered', 'doubtful'].includes(result))
          complaints.push(`${args.join(' ')}: ${result}: ${why}`);
      }
    };

    const chance = chances(SEED);
    const end = performance.now() + 25_000 * LONGER;
    // A machine at work elsewhere gets longer, until there was a race.
    const enough = () => (answers.get('turn ok') ?? 0) > CHATS.length && issuer.of('refresh').length > 0;
    const racing = () => performance.now() < end || (!enough() && performance.now() < end + AT_MOST_MS);
    let steps = 0;
    let turned = 0;
    const chat = async (key: string, own: () => number) => {
      while (racing()) {
        // Half of the tokens that are handed out are about to expire, so that the next turn refreshes.
        issuer.behaviour.accessTtl = own() < 0.5 ? 120 : 3600;
        if (own() < 0.3) issuer.behaviour.refreshFaults.push({ kind: 'delay', ms: Math.floor(own() * 1500) });
        const failed = await turn(claw, key).catch((error: unknown) => String(error));
        turned += 1;
        count(failed === null ? 'turn ok' : `turn failed: ${failed.slice(0, 100)}`);
        await new Promise((wake) => setTimeout(wake, Math.floor(own() * 400)));
      }
    };
    const lineOf = (own: () => number): readonly string[] => {
      const kind = own();
      const { accountId } = oneOf(own, persons);
      if (kind < 0.45) return ['use', accountId, '--session', oneOf(own, CHATS)];
      if (kind < 0.55) return ['use', accountId, '--all-sessions'];
      if (kind < 0.6) return ['use', '-', '--no-session'];
      if (kind < 0.8) return ['refresh', accountId];
      if (kind < 0.92) return ['sync'];
      return ['undo'];
    };
    await Promise.all([
      ...CHATS.map((key, index) => chat(key, chances(SEED + index))),
      ...workers.map(async (worker, index) => {
        const own = chances(SEED + 100 + index);
        while (racing()) {
          note(await worker.run(lineOf(own)));
          steps += 1;
          await new Promise((wake) => setTimeout(wake, Math.floor(chance() * 500)));
        }
      }),
    ]);

    note(await lead.run(['sync', '--wait', '60']));
    const books = await whenQuiet(() => readBooks(box, claw.stores));
    figure('race steps', steps + turned);
    figure('reuse events', issuer.reuses().length);
    figure('identities lost', lostIn(books, issuer, persons));
    figure('session losses repaired', repaired);
    t.strictSame([...complaints, ...wrongIn(books, issuer, persons, slot)], [], `seed ${SEED}`);
    t.strictSame(issuer.reuses(), [], 'no refresh token was used twice');
    const sessions = await whenQuiet(() => claw.stores.sessions());
    const lost = CHATS.filter((key) => sessions[key]?.sessionId !== before[key]?.sessionId);
    figure('session entries lost', lost.length);
    t.strictSame(lost, [], 'every chat is still there');
    t.strictSame(
      CHATS.map((key) => sessions[key]?.authProfileOverride),
      CHATS.map(() => claw.stores.traits.slot),
      'and runs on the slot',
    );
    const rotated = issuer.of('refresh').length;
    const told = [...answers].sort().map(([name, times]) => `${name}: ${times}`);
    t.comment(`${release}: ${steps} commands, ${turned} turns, ${rotated} refreshes; ${told.join('; ')}`);
    t.ok((answers.get('turn ok') ?? 0) > CHATS.length, 'turns went on meanwhile');
    t.ok(rotated > 0, 'tokens were refreshed meanwhile');

    // Told and proved, the next message of every chat runs on whoever is in the slot.
    issuer.behaviour.refreshFaults = [];
    issuer.behaviour.accessTtl = 10 * 24 * 3600;
    const last = persons.find(({ accountId }) => accountId !== books.active);
    if (last === undefined) throw new Error('nobody is left');
    t.match((await useUntilTold(last, '--all-sessions')).json, {
      ok: true,
      effective: /^(now|after-idle)$/,
    });
    for (const key of CHATS) {
      const accounts = await until('a turn succeeds', async () => {
        issuer.model.take();
        const failed = await turn(claw, key);
        return failed === null && issuer.model.take().map(({ accountId }) => accountId);
      });
      t.strictSame([...new Set(accounts)], [last.accountId], key);
    }
    t.match(await lead.run(['sync', '--wait', '60']), { status: 0 });
    await claw.stop();
    t.strictSame(wrongIn(await readBooks(box, claw.stores), issuer, persons, slot), []);
    t.strictSame(issuer.reuses(), []);
    t.strictSame(claw.stores.integrity(), []);
    t.strictSame(leaksOf(box), []);
  });
}

for (const release of releases('2026.5.7')) {
  t.test(`${release}: what OpenClaw writes back at the end of a turn is mended by sync --wait`, async (t) => {
    const [chat = ''] = CHATS;
    const elsewhere = 'openai-codex:another';
    const set = await stage(t, release, 3, { chat, profileId: elsewhere });
    if (set === null) return;
    const { issuer, box, persons, claw, workers, lead, useUntilTold } = set;
    const [first, second, third] = persons;
    const [, other] = workers;
    if (!first || !second || !third || !other) throw new Error('somebody is missing');
    const { slot } = claw.stores.traits;
    const seen = () => ({
      pin: claw.stores.sessions()[chat]?.authProfileOverride,
      active: claw.stores.slot()?.accountId,
    });
    /** A turn whose model answers when `answer` is called. */
    const slowTurn = async (key: string) => {
      issuer.model.take();
      const answer = issuer.model.hold();
      const done = turn(claw, key);
      await until('the model is asked', () => issuer.model.calls.length > 0);
      return { answer, done };
    };
    await claw.start();
    t.equal(await turn(claw, chat), null);
    t.match(issuer.model.take().at(-1), { email: people.alice.email }, 'the chat runs on another login');

    const turning = await slowTurn(chat);
    const pinning = await lead.run(['use', second.accountId, '--session', chat]);
    const codes: readonly string[] = pinning.json.notes.map(({ code }: JsonDocument) => code);
    t.ok(codes.includes('TURN_RUNNING'), 'it is said that a turn may write over it');
    t.match(
      pinning.json.pins.find(({ key }: JsonDocument) => key === chat),
      { was: elsewhere, is: slot, result: 'pending' },
      'a pin inside a running turn is not called set',
    );
    t.strictSame(seen(), { pin: slot, active: second.accountId });
    const syncing = other.run(['sync', '--wait', '120']);
    turning.answer();
    t.equal(await turning.done, null);
    const synced = await syncing;
    t.match(synced, { status: 0, json: { notes: [{ code: 'PINS_REPAIRED' }] } });
    figure('session losses repaired', 1);
    t.strictSame(seen(), { pin: slot, active: second.accountId });

    // While its lock cannot be had, OpenClaw writes what the turn had read at its beginning.
    const stale = await slowTurn(CHATS[1] ?? '');
    t.match(await lead.run(['use', third.accountId, '--no-session']), { status: 0 });
    const lock = `${claw.stores.paths().profiles}.lock`;
    mkdirSync(lock);
    // OpenClaw takes it for an old lock, cannot remove it, and goes on without.
    utimesSync(lock, 0, 0);
    stale.answer();
    const failed = await stale.done;
    t.equal(failed, null);
    await until('the slot holds what it held before', () => seen().active === second.accountId);
    rmdirSync(lock);
    const mended = await lead.run(['sync', '--wait', '60']);
    t.match(mended, { status: 0, json: { notes: [{ code: 'SLOT_REPAIRED' }] } });
    t.strictSame(seen(), { pin: slot, active: third.accountId });

    t.match((await useUntilTold(third)).json, { effective: /^(now|after-idle)$/ });
    issuer.model.take();
    t.equal(await turn(claw, chat), null);
    t.strictSame([...new Set(issuer.model.take().map(({ accountId }) => accountId))], [third.accountId]);
    await claw.stop();
    t.match(await lead.run(['sync']), { status: 0 });
    t.strictSame(wrongIn(await readBooks(box, claw.stores), issuer, persons, `main/${slot}`), []);
    t.strictSame(issuer.reuses(), []);
    t.strictSame(leaksOf(box), []);
  });
}
