import t from 'tap';
import type { Look } from '../../src/cli/chat/look.js';
import type { Others } from '../../src/cli/chat/others.js';
import { usedAnswer } from '../../src/cli/chat/proof.js';
import { undoneAnswer } from '../../src/cli/chat/proof-undo.js';
import type { UndoDocument, UseDocument } from '../../src/cli/documents.js';
import { parseAccountId, parseUserId } from '../../src/identity.js';
import type { SessionEntry } from '../../src/slot/pins.js';
import { people } from '../kit/tokens.js';

const teller = { entries: async () => [], showsEmails: false };
const slot = { layout: 'json', agent: 'main', profileId: 'openai-codex:default' };
const NOBODY: Others = { chats: 0, background: 0, agents: [], more: false };
const to = { ...people.bob, alias: 'work' };

const entryOf = (key: string, pinnedTo: string | null): SessionEntry => ({
  key,
  updatedAt: 1,
  pinnedTo,
  pinSource: null,
  channel: null,
  from: null,
  to: null,
  accountId: null,
  spawnedBy: null,
});

const look = (changes: Partial<Look> = {}): Look => ({
  slot: { ...slot, id: 'x' },
  occupant: {
    accountId: parseAccountId(people.bob.accountId),
    userId: parseUserId(people.bob.userId),
    email: people.bob.email,
    plan: 'pro',
    workspace: null,
  },
  expiresAt: 1_000,
  problem: null,
  entry: entryOf('agent:main:main', slot.profileId),
  companions: [],
  others: { chats: 0, background: 0, agents: [], more: false },
  ...changes,
});

const used = (changes: Partial<UseDocument> = {}): UseDocument => ({
  schemaVersion: 1,
  ok: true,
  result: 'switched',
  from: null,
  to: { accountId: to.accountId, userId: to.userId, alias: 'work', email: to.email, plan: 'pro' },
  slot,
  session: { key: 'agent:main:main', why: '' },
  pins: [{ key: 'agent:main:main', was: null, is: slot.profileId, result: 'set' }],
  affects: { agents: ['main'], sessions: [] },
  checkedIn: [],
  moved: [],
  effective: 'now',
  proved: true,
  advice: null,
  notes: [],
  ...changes,
});

const said = (document: UseDocument, seen: Look, others = NOBODY, isIdle = false) =>
  usedAnswer(teller, { document, look: seen, usage: '5 h: 62 % left.', others, isIdle });

t.test('what was proved is said as such, and nothing else is', async (t) => {
  const now = await said(used(), look());
  t.equal(
    now.text,
    "work (Pro) is active here, from your next message on. 5 h: 62 % left.\nChecked: the slot holds it, this chat's pin is on it, the gateway took it.",
  );
  t.match(now, { result: 'switched', effective: 'now', pinsPending: false, taken: null, textIfTaken: null });
  const told = await said(used({ proved: false }), look());
  t.match(told.text, /the gateway was told, which this release cannot prove\.$/);
  t.match(told.taken, { agent: 'main', profileId: slot.profileId, expiresAt: 1_000 });
  t.equal(told.textIfTaken, now.text, 'once it was seen there');
});

t.test('a gateway that has not taken it yet is said to, with what to do', async (t) => {
  const after = await said(
    used({ effective: 'after-reload', proved: false, advice: 'run openclaw secrets reload' }),
    look(),
  );
  t.match(after.text, /^work \(Pro\) is active here, once OpenClaw has reloaded\./);
  t.match(after.text, /the gateway has not taken it yet\.\nRun openclaw secrets reload$/);
  const next = await said(used({ effective: 'after-next-turn', proved: false }), look());
  t.match(next.text, /after one more message: the next one still runs on the account before/);
  t.match(next.textIfTaken, /from your next message on/);
  const none = await said(used({ effective: 'no-gateway', proved: false }), look());
  t.match(none, { text: /none is running now.*no gateway is running\.$/s, taken: null, textIfTaken: null });
});

t.test('a chat whose connection is kept is said to be on the new account once that is closed', async (t) => {
  const advice = 'leave this chat quiet for 5 minutes';
  const kept = used({ effective: 'after-idle', advice });
  const entry = { ...entryOf('agent:main:main', slot.profileId), sessionId: 's-1' };
  const now = await said(used(), look());
  const later = await said(kept, look({ entry }));
  t.match(later, { effective: 'after-idle', closes: ['s-1'], textIfTaken: now.text });
  t.match(later.text, /^work \(Pro\) is active here, as soon as this chat has been quiet for five minutes/);
  t.match(later.text, /the gateway took it\.\nLeave this chat quiet/);
  t.notOk(later.taken);
  const unnamed = await said(kept, look());
  t.notOk(unnamed.textIfTaken, 'a connection that nobody can name is not closed');
  t.equal(unnamed.text, later.text);
});

t.test('a pin that is not there is never said to be', async (t) => {
  const pending = await said(
    used({ pins: [{ key: 'agent:main:main', was: null, is: slot.profileId, result: 'pending' }] }),
    look(),
  );
  t.match(pending, { pinsPending: true, text: /own pin is pending: .*this chat's pin is pending/s });
  t.notMatch(pending.text, /active here/);
  const own = used({ pins: [{ key: 'agent:main:main', was: null, is: slot.profileId, result: 'pending' }] });
  const idle = await said(own, look(), NOBODY, true);
  t.match(
    idle,
    { pinsPending: false, text: /active here.*this chat's pin is on it/s },
    'the run is the command itself',
  );
  const same = {
    key: 'agent:main:main',
    was: slot.profileId,
    is: slot.profileId,
    result: 'pending' as const,
  };
  const before = await said(used({ pins: [same] }), look(), NOBODY, true);
  t.match(before, { pinsPending: false }, 'OpenClaw had pinned the slot by itself');
  const unset = look({ entry: entryOf('agent:main:main', null) });
  t.match(await said(own, unset, NOBODY, true), { pinsPending: true }, 'unless it is not there');
  const lost = await said(used(), look({ entry: entryOf('agent:main:main', 'openai-codex:other') }));
  t.match(lost.text, /but this chat was pinned elsewhere in the meantime.*this chat's pin is not on it/s);
  const bare = await said(used(), look({ entry: entryOf('agent:main:main', null) }));
  t.match(
    bare.text,
    /which this chat follows; its own pin is not there any more.*is not pinned and follows it/s,
  );
  const companions = [entryOf('a', slot.profileId), entryOf('b', null)];
  t.match((await said(used(), look({ companions }))).text, /1 of 2 companion entries synced/);
});

t.test('another switch that came in between is said, not this one', async (t) => {
  const carol = {
    ...people.carol,
    accountId: parseAccountId(people.carol.accountId),
    userId: parseUserId(people.carol.userId),
  };
  const over = await said(used(), look({ occupant: { ...carol, workspace: null } }));
  t.match(over, { result: 'overtaken', text: /right after it Plus login was there/ });
  t.match(await said(used(), look({ occupant: null })), { result: 'overtaken' });
});

t.test('who moves along is told by number, and background work apart', async (t) => {
  const many = { chats: 3, background: 1, agents: ['ops'], more: false };
  t.match(
    (await said(used(), look(), many)).text,
    /3 other chats, 1 background session and agent ops use this slot and move too\./,
  );
  const one = { chats: 1, background: 0, agents: [], more: false };
  t.match((await said(used(), look(), one)).text, /1 other chat uses this slot and moves too\./);
});

t.test('an undo is proved like a switch', async (t) => {
  const undone: UndoDocument = {
    schemaVersion: 1,
    ok: true,
    result: 'undone',
    undoes: 'x',
    from: null,
    to: used().to,
    slot,
    pins: [],
    effective: 'now',
    proved: true,
    advice: null,
    notes: [],
  };
  const back = await undoneAnswer(teller, undone, look(), false);
  t.match(back, {
    result: 'undone',
    text: /^work \(Pro\) is active again, from your next message on\.\nChecked: the slot holds it/,
  });
  const empty = await undoneAnswer(teller, { ...undone, to: null }, look({ occupant: null }), false);
  t.match(empty.text, /^The slot is empty again.*\nChecked: the slot is empty/);
  t.match(await undoneAnswer(teller, undone, look({ occupant: null }), false), { result: 'overtaken' });
});
