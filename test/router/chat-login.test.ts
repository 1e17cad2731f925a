import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { RouterError } from '../../src/errors.js';
import type { Holding } from '../../src/holding.js';
import { identityKey } from '../../src/identity.js';
import { arrivingLoginsIn } from '../../src/repo/arriving-logins.js';
import { type ChatOwner, chatLoginsIn, chatOwnerOf } from '../../src/repo/chat-logins.js';
import {
  beginChatLogin,
  type ChatLoginDeps,
  type ChatLoginWish,
  finishChatLogin,
} from '../../src/router/chat-login.js';
import { dropChatLogin, keepChatLogin } from '../../src/router/chat-login-held.js';
import { endLeftChatLogins, heldChatLogins, leftChatLogins } from '../../src/router/chat-login-left.js';
import { endLeftArrivals } from '../../src/router/left-arrivals.js';
import type { AccountAnswer, ApprovalAnswer } from '../../src/router/login-issuer.js';
import type { RevokeAnswer } from '../../src/router/revocation.js';
import { Secret } from '../../src/secret.js';
import { fakeJournal } from '../contract/fake-journal.js';
import { fakeRepo } from '../contract/fake-repo.js';
import { holdingOf } from '../contract/slot.js';
import { loginOf, type PersonName, people } from '../kit/tokens.js';
import { codeOf, SURROUNDINGS } from './support.js';

const START = Date.UTC(2026, 10, 22, 12);
const MINUTE = 60_000;
const ALICE = chatOwnerOf('telegram:default:1001', 'telegram:default:1001');
const MALLORY = chatOwnerOf('telegram:default:6666', 'telegram:default:6666');
const ELSEWHERE = chatOwnerOf('telegram:default:1001', 'telegram:work:1001');
const DEVICE: ChatLoginWish = { flow: 'device', wanted: null, alias: null };
const LINK: ChatLoginWish = { ...DEVICE, flow: 'link' };
const CALLBACK = 'http://127.0.0.1:1455/auth/callback';

const whoIs = (name: PersonName) => holdingOf(loginOf(name)).identity;
const wantedOf = (name: PersonName) => {
  const { accountId, userId } = whoIs(name);
  return { accountId, userId };
};

/** An issuer in memory, whose logins are known one by one. */
function fakeIssuer() {
  const grants: { readonly holding: Holding; isLive: boolean }[] = [];
  const self = {
    grants,
    /** What the next questions are answered; then approved. */
    answers: [] as (ApprovalAnswer | RouterError)[],
    asked: 0,
    exchanges: 0,
    person: 'alice-team' as PersonName,
    account: { kind: 'known', workspace: 'Acme', plan: 'team', isDeactivated: false } as AccountAnswer,
    revokeAnswer: { kind: 'revoked' } as RevokeAnswer,
    hasDevice: true,
    login: {
      deviceCode: async () => Promise.reject(new Error('not asked for')),
      approval: async () => Promise.reject(new Error('not asked for')),
      deviceCodeOrNone: async () =>
        self.hasDevice
          ? {
              userCode: 'TEST-12345',
              url: 'http://issuer.test/codex/device',
              expiresAt: START + 15 * MINUTE,
              id: new Secret('CANARY-device'),
              interval: 5000,
            }
          : null,
      askApproval: async (): Promise<ApprovalAnswer> => {
        self.asked += 1;
        const said = self.answers.shift();
        if (said instanceof RouterError) throw said;
        if (said !== undefined) return said;
        const code = { code: new Secret('ac_CANARY'), verifier: new Secret('v_CANARY'), redirectUri: 'x' };
        return { kind: 'approved', code };
      },
      exchange: async () => {
        self.exchanges += 1;
        const holding = holdingOf(loginOf(self.person, { nonce: `n${self.exchanges}` }));
        grants.push({ holding, isLive: true });
        return holding;
      },
      account: async () => self.account,
    },
    browser: {
      begin: () => {
        const state = `state-${self.exchanges}-${Math.random()}`;
        const secrets = { state: new Secret(state), verifier: new Secret('v_CANARY') };
        return { secrets, redirectUri: CALLBACK, url: `http://issuer.test/oauth/authorize?state=${state}` };
      },
      parseAnswer: (text: string) => {
        const query = new URL(text).searchParams;
        const state = new Secret(query.get('state') ?? '');
        if (query.has('error')) {
          const error = new RouterError('LOGIN_DENIED', 'declined', { hint: 'log in again and agree' });
          return { state, outcome: { kind: 'refused' as const, error } };
        }
        return { state, outcome: { kind: 'code' as const, code: new Secret(query.get('code') ?? '') } };
      },
      code: async () => Promise.reject(new Error('not asked for')),
    },
    revocation: {
      revoke: async (grant: { readonly refreshToken: Secret }): Promise<RevokeAnswer> => {
        if (self.revokeAnswer.kind !== 'revoked') return self.revokeAnswer;
        const found = grants.find(({ holding }) => holding.grant.refreshToken.equals(grant.refreshToken));
        if (found !== undefined) found.isLive = false;
        return self.revokeAnswer;
      },
    },
  };
  return self;
}

/** A data folder, an issuer and a clock; what a restarted program finds is what lies in the folder. */
function bench(t: Test) {
  const hook = { onStep: (_name: string): void => undefined };
  const onStep = (name: string) => hook.onStep(name);
  const data = mkdtempSync(join(tmpdir(), 'codex-router-test-'));
  t.teardown(() => rmSync(data, { recursive: true, force: true }));
  const clock = { now: START };
  const now = () => clock.now;
  const issuer = fakeIssuer();
  const repo = fakeRepo(now);
  const tails = new Map<ChatOwner, Promise<unknown>>();
  const withOwner = <T>(owner: ChatOwner, work: () => Promise<T>): Promise<T> => {
    const run = (tails.get(owner) ?? Promise.resolve()).then(work, work);
    tails.set(
      owner,
      run.catch(() => undefined),
    );
    return run;
  };
  const { withLock, withGrantLock, critical } = SURROUNDINGS;
  const logins = chatLoginsIn(data);
  const deps: ChatLoginDeps = {
    logins: stepping(logins, 'logins', ['begin', 'hold', 'end', 'markUsed', 'remove'], onStep),
    arriving: stepping(arrivingLoginsIn(data, now), 'arriving', ['put'], onStep),
    issuer: stepping(issuer.login, 'issuer', ['exchange', 'askApproval'], onStep),
    browser: issuer.browser,
    revocation: stepping(issuer.revocation, 'issuer', ['revoke'], onStep),
    withOwner,
    withLock,
    critical,
    now,
    pause: async (ms) => {
      clock.now += ms;
    },
    signal: new AbortController().signal,
  };
  const hostAt = async () => Promise.reject(new RouterError('HOST_NOT_FOUND', 'there is none'));
  const keepDeps = {
    host: null,
    hostAt,
    outside: [],
    journal: fakeJournal(),
    withLock,
    withGrantLock,
    critical,
    now,
  };
  const open = async () => stepping(await repo.open(), 'repo', ['save'], onStep);
  return {
    /** Heard before and after each side effect; throws to have the process die there. */
    hook,
    clock,
    issuer,
    repo,
    logins,
    deps,
    begin: async (wish: Partial<ChatLoginWish> = {}, owner = ALICE) =>
      beginChatLogin(deps, await open(), owner, { ...DEVICE, ...wish }),
    finish: async (answer: string | null = null, owner = ALICE) =>
      finishChatLogin(deps, await open(), owner, answer),
    keep: async (id: string | null = null, owner = ALICE) =>
      keepChatLogin(deps, keepDeps, await open(), owner, id),
    drop: async (id: string | null = null, owner = ALICE) => dropChatLogin(deps, await open(), owner, id),
    /** What the next login of any kind does about what was left; the texts that it says. */
    async sweep(): Promise<readonly string[]> {
      buryArriving(data);
      const opened = await repo.open();
      const arrived = await endLeftArrivals(deps, opened, await deps.arriving.left());
      const left = { ...deps, logins };
      const chats = await endLeftChatLogins(left, () => repo.open());
      return [...arrived, ...chats].map(({ text }) => text);
    },
    left: async () => (await leftChatLogins({ logins, now })).map(({ person }) => person?.email ?? null),
    live: () => issuer.grants.filter(({ isLive }) => isLive).length,
    /** Logins that are valid and not stored, or stored and not valid. */
    async adrift(): Promise<readonly string[]> {
      const found = await repo.list();
      return issuer.grants.flatMap(({ holding, isLive }) => {
        const key = identityKey(holding.identity);
        const entry = found.find(({ identity }) => identityKey(identity) === key);
        const isStored = repo.sealed(key)?.grant.refreshToken.equals(holding.grant.refreshToken) ?? false;
        return (isStored && entry !== undefined) === isLive ? [] : [`${key} ${isLive ? 'valid' : 'revoked'}`];
      });
    },
    stored: async () => (await repo.list()).map(({ identity }) => identityKey(identity)),
  };
}

type Bench = ReturnType<typeof bench>;

/** The same, whose named methods tell before and after. */
function stepping<Port extends object>(
  port: Port,
  name: string,
  methods: readonly (keyof Port & string)[],
  onStep: (name: string) => void,
): Port {
  return new Proxy(port, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key);
      if (typeof value !== 'function' || !methods.some((method) => method === key)) return value;
      return async (...args: unknown[]) => {
        onStep(`before ${name}.${String(key)}`);
        const result: unknown = await Reflect.apply(value, target, args);
        onStep(`after ${name}.${String(key)}`);
        return result;
      };
    },
  });
}

/** As if whoever made them had ended: the names tell the process. */
function buryArriving(data: string): void {
  const folder = join(data, 'arriving');
  try {
    for (const name of readdirSync(folder)) {
      renameSync(join(folder, name), join(folder, name.replace(/^\d+-\d+/, '4194303-1')));
    }
  } catch {
    // There is none.
  }
}

/** A browser in which a person agrees. */
const agreed = (url: string) => `${CALLBACK}?code=ac_CANARY&state=${new URL(url).searchParams.get('state')}`;

async function heldBy(it: Bench, wish: Partial<ChatLoginWish> = {}) {
  await it.begin(wish);
  const found = await it.finish();
  if (found.kind !== 'held') throw new Error('it is not held');
  return found;
}

/** Thrown where the process is killed; from then on it does nothing any more. */
class Killed extends Error {}

t.test('a login is begun, approved, shown, and stored only at the word of its sender', async (t) => {
  const it = bench(t);
  it.issuer.answers = [{ kind: 'pending', interval: 5000 }];
  const begun = await it.begin({ alias: 'work' });
  t.match(begun, { userCode: 'TEST-12345', replaced: null, login: { flow: 'device', wanted: null } });
  t.match(await it.finish(), { kind: 'pending', login: { expiresAt: START + 15 * MINUTE } });
  it.clock.now += 5000;
  const held = await it.finish();
  t.match(held, {
    kind: 'held',
    identity: { email: people['alice-team'].email, workspace: 'Acme' },
    stored: null,
    verified: true,
  });
  t.strictSame(await it.stored(), [], 'nothing is stored yet');
  const kept = await it.keep();
  t.match(kept, {
    result: 'added',
    entry: { alias: 'work', verified: true, identity: { workspace: 'Acme' } },
  });
  t.equal(it.live(), 1);
  t.equal(await codeOf(it.keep()), 'LOGIN_USED');
  t.equal(await codeOf(it.finish()), 'LOGIN_USED');
  it.clock.now += 16 * MINUTE;
  t.strictSame(await it.sweep(), []);
  t.equal(it.live(), 1, 'what was kept is not revoked');
  t.equal(await codeOf(it.finish()), 'LOGIN_NOT_FOUND', 'and forgotten');
});

t.test('the issuer is not asked more often than it wants to be, and slow_down is kept to', async (t) => {
  const it = bench(t);
  await it.begin();
  it.issuer.answers = [{ kind: 'pending', interval: 10_000 }];
  t.match(await it.finish(), { kind: 'pending' });
  const at = it.clock.now;
  t.match(await it.finish(), { kind: 'held' }, 'asked, not guessed');
  t.equal(it.clock.now - at, 10_000, 'as soon as it may be');
  t.equal(it.issuer.asked, 2);
});

t.test('an issuer without device logins is met with a link, whose state must match', async (t) => {
  const it = bench(t);
  it.issuer.hasDevice = false;
  const first = await it.begin();
  t.match(first, { userCode: null, login: { flow: 'link' } });
  const second = await it.begin();
  t.match(second.replaced, { kind: 'begun' });
  t.equal(await codeOf(it.finish()), 'USAGE', 'the answer is missing');
  t.equal(await codeOf(it.finish(agreed(first.url))), 'STATE_MISMATCH');
  const stranger = await it.begin({}, MALLORY);
  t.equal(await codeOf(it.finish(agreed(stranger.url))), 'STATE_MISMATCH', "someone else's state");
  t.equal(it.issuer.exchanges, 0);
  t.match(await it.finish(agreed(second.url)), { kind: 'held' });
  t.match(await it.finish(agreed(second.url)), { kind: 'held' }, 'it is shown again');
  t.equal(it.issuer.exchanges, 1, 'and not exchanged again');
  await it.keep();
  t.equal(await codeOf(it.finish(agreed(second.url))), 'LOGIN_USED');
  t.equal(it.issuer.exchanges, 1);
});

t.test('of two that finish at once, one exchanges; the other is shown what came of it', async (t) => {
  const it = bench(t);
  const { url } = await it.begin(LINK);
  const both = await Promise.all([it.finish(agreed(url)), it.finish(agreed(url))]);
  t.strictSame(
    both.map(({ kind }) => kind),
    ['held', 'held'],
  );
  t.equal(it.issuer.exchanges, 1);
});

t.test('nobody else sees, finishes, keeps or cancels it, nor its sender in another chat', async (t) => {
  const it = bench(t);
  const { url } = await it.begin(LINK);
  for (const other of [MALLORY, ELSEWHERE]) {
    for (const ask of [
      it.finish(null, other),
      it.finish(agreed(url), other),
      it.keep(null, other),
      it.drop(null, other),
    ]) {
      t.equal(await codeOf(ask), 'LOGIN_NOT_FOUND');
    }
  }
  const held = await it.finish(agreed(url));
  for (const other of [MALLORY, ELSEWHERE]) {
    const id = held.login.id;
    for (const ask of [it.finish(null, other), it.keep(id, other), it.drop(id, other)]) {
      t.equal(await codeOf(ask), 'LOGIN_NOT_FOUND');
    }
  }
  const file = it.logins.pathOf(ALICE);
  // As if it were put where it would be Mallory's.
  writeFileSync(it.logins.pathOf(MALLORY), readFileSync(file));
  t.equal(await codeOf(it.keep(null, MALLORY)), 'RECORD_DAMAGED');
  t.match(await it.drop(null, MALLORY), { kind: 'damaged' });
  t.equal(it.live(), 1);
  t.equal((await it.keep()).result, 'added');
});

t.test('a no ends the login in its own words; what may pass leaves it', async (t) => {
  const NOS = [
    ['LOGIN_DENIED', 'LOGIN_USED'],
    ['LOGIN_EXPIRED', 'LOGIN_USED'],
    ['LOGIN_FAILED', 'held'],
  ] as const;
  for (const [code, after] of NOS) {
    const it = bench(t);
    await it.begin();
    it.issuer.answers = [new RouterError(code, `it ended with ${code}`, { hint: 'codex-router login' })];
    await t.rejects(it.finish(), { code, message: `it ended with ${code}`, hint: /\/codex_auth/ });
    const next = await it.finish().catch((error: RouterError) => error);
    t.equal(next instanceof RouterError ? next.code : next.kind, after, code);
  }
  const it = bench(t);
  await it.begin();
  it.issuer.answers = [{ kind: 'unanswered', why: 'the issuer answered 503' }];
  await t.rejects(it.finish(), { code: 'LOGIN_FAILED', message: /503/, hint: /^\/codex_auth finish/ });
  t.match(await it.finish(), { kind: 'held' });
  const { url } = await it.begin(LINK);
  const no = agreed(url).replace(/code=[^&]+/, 'error=access_denied');
  await t.rejects(it.finish(no), { code: 'LOGIN_DENIED', hint: /agree; \/codex_auth/ });
  t.equal(await codeOf(it.finish(agreed(url))), 'LOGIN_USED');
});

t.test(
  'whoever was not selected is revoked and not stored: neither workspace nor person may differ',
  async (t) => {
    const REFUSALS = [
      ['alice', 'the right person logged in to another workspace'],
      ['bob-team', 'another person of that workspace logged in'],
      ['bob', 'somebody else logged in, or to another workspace'],
    ] as const;
    for (const [person, said] of REFUSALS) {
      const it = bench(t);
      it.issuer.person = person;
      await it.begin({ wanted: wantedOf('alice-team') });
      const message = new RegExp(`^${said}`);
      await t.rejects(it.finish(), {
        code: 'IDENTITY_UNEXPECTED',
        message,
        hint: /^nothing was stored, it was revoked/,
      });
      t.equal(it.live(), 0, person);
      t.equal(await codeOf(it.keep()), 'LOGIN_USED');
      t.strictSame(await it.stored(), []);
      t.strictSame(await heldChatLogins({ logins: it.logins }), []);
    }
    const it = bench(t);
    t.match(await heldBy(it, { wanted: wantedOf('alice-team') }), {
      identity: wantedOf('alice-team'),
    });
  },
);

t.test(
  'a login that its backend has ended already is refused, one that it cannot be asked about is not',
  async (t) => {
    const it = bench(t);
    it.issuer.account = { kind: 'ended', why: 'ChatGPT answered 401' };
    await it.begin();
    t.equal(await codeOf(it.finish()), 'LOGIN_NEEDED');
    t.equal(await codeOf(it.keep()), 'LOGIN_USED');
    it.issuer.account = { kind: 'unknown', why: 'ChatGPT answered 503' };
    t.match(await heldBy(it), { verified: false, notes: [{ code: 'ACCOUNT_UNKNOWN' }] });
    t.match(await it.keep(), { entry: { verified: false } });
  },
);

t.test('nothing is kept before it was shown, nor by the button of an earlier login', async (t) => {
  const it = bench(t);
  const begun = await it.begin();
  t.equal(await codeOf(it.keep()), 'LOGIN_PENDING');
  t.equal(await codeOf(it.keep('aaaaaaaa')), 'LOGIN_NOT_FOUND');
  t.match(await it.drop(), { kind: 'cancelled' });
  t.equal(await codeOf(it.finish()), 'LOGIN_NOT_FOUND', 'cancelled before anything was made');
  const { login } = await heldBy(it);
  t.equal(await codeOf(it.keep(begun.login.id)), 'LOGIN_NOT_FOUND');
  t.equal(await codeOf(it.drop(begun.login.id)), 'LOGIN_NOT_FOUND');
  t.equal((await it.keep(login.id)).result, 'added');
});

t.test('what is discarded, replaced or not kept in time is revoked, and that is said', async (t) => {
  const it = bench(t);
  await heldBy(it);
  t.match(await it.drop(), { kind: 'discarded', end: { kind: 'revoked' } });
  t.equal(it.live(), 0);
  t.equal(await codeOf(it.keep()), 'LOGIN_USED');

  await heldBy(it);
  t.match(await it.begin(), { replaced: { kind: 'held', end: { kind: 'revoked' } } });
  t.equal(it.live(), 0);

  await it.finish();
  it.clock.now += 15 * MINUTE;
  await t.rejects(it.keep(), {
    code: 'LOGIN_EXPIRED',
    hint: /^nothing was stored, it was revoked at the issuer; /,
  });
  t.equal(it.live(), 0);

  const { login } = await it.begin();
  t.equal(login.expiresAt, START + 15 * MINUTE, "the issuer's own end of the code");
  t.equal(await codeOf(it.finish()), 'LOGIN_EXPIRED', 'before it is asked');
  t.strictSame(await it.stored(), []);
});

t.test('a clock that is set back makes nothing live longer', async (t) => {
  const it = bench(t);
  await heldBy(it);
  it.clock.now -= 1;
  await t.rejects(it.keep(), { code: 'LOGIN_EXPIRED', message: /clock/ });
  t.equal(it.live(), 0);
});

t.test(
  'a login that waits for its sender is left by every other login; one that waited too long is ended by it',
  async (t) => {
    const it = bench(t);
    await heldBy(it);
    t.strictSame(await it.sweep(), []);
    t.strictSame(await it.left(), []);
    t.equal((await heldChatLogins({ logins: it.logins })).length, 1, 'and uninstall sees it');
    it.clock.now += 15 * MINUTE;
    t.strictSame(await it.left(), [people['alice-team'].email]);
    it.issuer.revokeAnswer = { kind: 'failed', why: 'the issuer answered 503' };
    t.match(await it.sweep(), [
      /made in a chat .* could not be revoked at the issuer \(the issuer answered 503\)/,
    ]);
    t.strictSame(await it.left(), [people['alice-team'].email], 'not forgotten');
    it.issuer.revokeAnswer = { kind: 'revoked' };
    t.match(await it.sweep(), [
      /^the login of alice@example.test .* made in a chat .* so it was revoked at the issuer$/,
    ]);
    t.equal(it.live(), 0);
    t.strictSame(await it.left(), []);
    t.equal(await codeOf(it.keep()), 'LOGIN_EXPIRED', 'its sender is told when they ask');
  },
);

t.test(
  'one that cannot be revoked now is revoked by the next login, though its place is taken',
  async (t) => {
    const it = bench(t);
    await heldBy(it);
    it.issuer.revokeAnswer = { kind: 'unanswered', why: 'no answer' };
    t.match(await it.begin(), {
      replaced: {
        kind: 'held',
        end: { kind: 'valid', text: /stays valid there; the next codex-router login/ },
      },
    });
    await it.finish();
    t.equal(it.live(), 2);
    it.issuer.revokeAnswer = { kind: 'revoked' };
    t.match(await it.sweep(), [/was never stored, so it was revoked/]);
    t.equal(it.live(), 1);
    t.equal((await it.keep()).result, 'added');
  },
);

t.test('logins of all chats together are bounded', async (t) => {
  const it = bench(t);
  for (let chat = 0; chat < 20; chat += 1) await it.begin({}, chatOwnerOf('s', `${chat}`));
  t.equal(await codeOf(it.begin()), 'BUSY');
  t.match(await it.begin({}, chatOwnerOf('s', '7')), { replaced: { kind: 'begun' } });
  it.clock.now += 15 * MINUTE;
  await it.sweep();
  t.match(await it.begin(), { replaced: null });
});

t.test('a login that is stored already keeps one identity and gets the newer grant', async (t) => {
  const it = bench(t);
  const old = holdingOf(loginOf('alice-team', { nonce: 'old' }));
  await (await it.repo.open()).save(old, { source: 'login', alias: 'work' });
  t.match(await heldBy(it, { wanted: wantedOf('alice-team') }), { stored: { alias: 'work' } });
  t.match(await it.keep(), {
    result: 'renewed',
    former: { sealed: true, place: 'parked' },
    selector: 'work',
  });
  t.equal((await it.repo.list()).length, 1);
});

t.test(
  'what an exchange needs is gone from the disk before it is sent, and stays gone when it fails',
  async (t) => {
    const it = bench(t);
    for (const wish of [DEVICE, LINK]) {
      const { url } = await it.begin(wish);
      const answer = wish === LINK ? agreed(url) : null;
      const seen: unknown[] = [];
      it.hook.onStep = (step) => {
        if (step === 'before issuer.exchange')
          seen.push(JSON.parse(readFileSync(it.logins.pathOf(ALICE), 'utf8')));
        if (step === 'after issuer.exchange') throw new RouterError('LOGIN_FAILED', 'the answer was lost');
      };
      await t.rejects(it.finish(answer), { code: 'LOGIN_FAILED', hint: /\/codex_auth/ });
      t.match(seen, [{ kind: 'used', how: 'sent', sealed: undefined }]);
      it.hook.onStep = () => undefined;
      t.equal(await codeOf(it.finish(answer)), 'LOGIN_USED');
    }
    t.equal(it.issuer.exchanges, 2);
  },
);

t.test('a login whose program ended before it was shown is shown before it can be kept', async (t) => {
  const it = bench(t);
  await it.begin({ wanted: wantedOf('alice-team') });
  let isKilled = false;
  it.hook.onStep = (step) => {
    isKilled ||= step === 'after logins.hold';
    if (isKilled) throw new Killed(step);
  };
  await t.rejects(it.finish(), { message: /^(before|after) logins/ });
  it.hook.onStep = () => undefined;
  t.equal(await codeOf(it.keep()), 'LOGIN_PENDING');
  t.match(await it.finish(), { kind: 'held', identity: { workspace: 'Acme' } });
  t.equal((await it.keep()).result, 'added');
});

const STORIES: readonly (readonly [name: string, story: (it: Bench) => Promise<unknown>])[] = [
  ['kept', async (it) => heldBy(it).then(() => it.keep())],
  ['discarded', async (it) => heldBy(it).then(() => it.drop())],
  ['replaced', async (it) => heldBy(it).then(() => it.begin())],
  [
    'refused',
    async (it) => {
      it.issuer.person = 'bob';
      await heldBy(it, { wanted: wantedOf('alice-team') });
    },
  ],
  [
    'expired',
    async (it) => {
      await heldBy(it);
      it.clock.now += 15 * MINUTE;
      await it.keep();
    },
  ],
];

/** What is done by whoever finds it so: nothing, or what its sender can still do. */
const AFTER: readonly ((it: Bench) => Promise<unknown>)[] = [
  async () => undefined,
  async (it) => it.finish().then(() => it.keep()),
  async (it) => it.drop(),
  async (it) => it.begin(),
];

/** What a kill at this step of a story leaves, when `next` is done after it and all time is up; null when the story has no such step. */
async function killedAt(t: Test, [, story]: (typeof STORIES)[number], point: number, next: number) {
  const it = bench(t);
  let step = -1;
  let at: string | null = null;
  it.hook.onStep = (what) => {
    step += 1;
    if (step === point) at = what;
    if (step >= point) throw new Killed(what);
  };
  await story(it).catch(() => undefined);
  if (at === null) return null;
  it.hook.onStep = () => undefined;
  // The one instant that nobody can cover: the issuer has answered, and nothing is written yet.
  const isUncovered = /^after issuer.exchange|^before logins.hold/.test(at) && !(await isHeld(it));
  await it.sweep();
  await AFTER[next]?.(it).catch((error: unknown) => {
    if (!(error instanceof RouterError)) throw error;
  });
  it.clock.now += 16 * MINUTE;
  await it.sweep();
  const wrongs = isUncovered ? [] : [...(await it.adrift()), ...(await it.left())];
  return { at, wrongs: [...wrongs, ...((await isHeld(it)) ? ['something is held'] : [])] };
}

const isHeld = async (it: Bench) => (await heldChatLogins({ logins: it.logins })).length > 0;

t.test('killed before or after any write or request, no login is left that nobody knows of', async (t) => {
  let points = 0;
  for (const story of STORIES) {
    for (let point = 0, isTold = false; !isTold; point += 1) {
      // What its sender does next is tried at each point, the rest in turn.
      for (const next of new Set([1, point % AFTER.length])) {
        const found = await killedAt(t, story, point, next);
        isTold = found === null;
        if (found === null) break;
        t.strictSame(found.wrongs, [], `${story[0]}, killed ${found.at} (${point + 1}), then ${next}`);
        points += 1;
      }
    }
  }
  t.ok(points > 100, `${points} points`);
});
