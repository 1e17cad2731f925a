import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import type { UsageDocument, UsageHistoryDocument } from '../../src/cli/documents.js';
import { DONE } from '../../src/cli/documents.js';
import { usageFrame, usageLines } from '../../src/cli/usage-frame.js';
import { usageHistoryText } from '../../src/cli/usage-history-text.js';
import { type UsageLook, usageText } from '../../src/cli/usage-text.js';
import { columnsOf } from '../../src/text.js';
import { PROJECT } from '../kit/router.js';

/**
 * What people see, kept as files to be looked at: test/fixtures/looks. UPDATE_LOOKS=1 writes them anew.
 */
process.env.TZ = 'Europe/Berlin';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Sunday 22 November 2026, 12:00 in Berlin. */
const NOW = Date.UTC(2026, 10, 22, 11);

const FOLDER = path.join(PROJECT, 'test', 'fixtures', 'looks');

function look(columns: number | null, more: Partial<UsageLook> & { unicode?: boolean } = {}): UsageLook {
  const { unicode = true, ...rest } = more;
  const page = columns === null ? null : { columns, unicode, colour: false };
  return { now: NOW, page, ascii: false, paint: (_, text) => text, ...rest };
}

/** A style as a mark that can be read. */
const marked: UsageLook['paint'] = (style, text) => (text === '' ? '' : `<${style}>${text}</>`);

function withoutMarks(text: string): string {
  return text.replace(/<\/?[a-z]*>/g, '');
}

function isAsKept(t: Test, name: string, text: string): void {
  const file = path.join(FOLDER, `${name}.txt`);
  const shown = `${text}\n`;
  if (process.env.UPDATE_LOOKS) {
    mkdirSync(FOLDER, { recursive: true });
    writeFileSync(file, shown);
  }
  t.equal(shown, readFileSync(file, 'utf8'), name);
}

function fits(t: Test, text: string, columns: number): void {
  for (const line of text.split('\n')) t.ok(columnsOf(line) <= columns, `${columns}: ${line}`);
}

type Row = UsageDocument['usage'][number];
type Limits = NonNullable<Row['limits']>;
type Window = Limits['windows'][number];

function person(alias: string | null, more: Partial<Row['identity']> = {}): Row['identity'] {
  return {
    accountId: 'b2222222-aaaa-4aaa-8aaa-111111111111',
    userId: `user-${alias}`,
    alias,
    email: `${alias}@example.test`,
    plan: 'team',
    ...more,
  };
}

function window(
  label: string,
  leftPercent: number,
  resetsIn: number | null,
  name: string | null = null,
): Window {
  const seconds = { '5 h': 18_000, week: 604_800, '1 h': 3600 }[label] ?? null;
  const resetsAt = resetsIn === null ? null : NOW + resetsIn;
  return { name, label, seconds, usedPercent: 100 - leftPercent, leftPercent, resetsAt };
}

const usual = [window('5 h', 62, 2 * HOUR + 10 * MINUTE), window('week', 88, 4 * DAY)];

function limits(windows: readonly Window[], more: Partial<Limits> = {}): Limits {
  return {
    plan: 'team',
    allowed: true,
    reached: false,
    windows: [...windows],
    credits: null,
    spend: null,
    ...more,
  };
}

function row(alias: string | null, more: Partial<Row> = {}): Row {
  return {
    identity: person(alias),
    workspace: null,
    stored: true,
    heldBy: 'store',
    agent: null,
    state: 'answered',
    why: null,
    remedy: null,
    answeredFor: null,
    at: NOW,
    limits: limits(usual),
    ...more,
  };
}

function document(usage: readonly Row[], more: Partial<UsageDocument> = {}): UsageDocument {
  return { ...DONE, meant: 'all', session: null, usage: [...usage], sharing: [], notes: [], ...more };
}

const work = row('work', { workspace: 'Acme Ltd', heldBy: 'slot', agent: 'main' });
const spent = row('spent', {
  identity: person('spent', { accountId: 'c3333333-aaaa', plan: 'plus' }),
  limits: limits([window('5 h', 0, 40 * MINUTE), window('week', 0.4, 26 * HOUR)], {
    plan: 'plus',
    reached: true,
  }),
});
const everything = row('all', {
  limits: limits(
    [
      ...usual,
      window('week', 100, null, 'code review'),
      window('1 h', 7, 3 * MINUTE, 'A model of a long name'),
      { ...window('limit', 50, null), name: 'Spark' },
    ],
    {
      plan: 'business',
      credits: { unlimited: false, balance: '12.5' },
      spend: { reached: true, limit: '100', used: '100', resetsAt: NOW + 9 * DAY },
    },
  ),
});
const unlimited = row('rich', { limits: limits([], { credits: { unlimited: true, balance: null } }) });
const shared = document([work, row('mate'), spent], {
  sharing: [
    {
      accountId: 'b2222222-aaaa-4aaa-8aaa-111111111111',
      workspace: 'Acme Ltd',
      identities: [person('work'), person('mate')],
    },
  ],
});

t.test(
  'bars: at 80, at 40 and at 120 columns, with and without special characters and colours',
  async (t) => {
    const all = document([work, spent, everything, unlimited]);
    for (const columns of [80, 40, 120]) {
      const text = usageText(all, look(columns));
      fits(t, text, columns);
      isAsKept(t, `bars-${columns}`, text);
    }
    const ascii = usageText(all, look(80, { ascii: true }));
    isAsKept(t, 'bars-ascii', ascii);
    t.notMatch(ascii, /[^\x20-\x7e\n]/);
    t.equal(usageText(all, look(80, { unicode: false })), ascii, 'so also where the locale has no UTF-8');
    const coloured = usageText(all, look(80, { paint: marked }));
    isAsKept(t, 'bars-coloured', coloured);
    t.equal(
      withoutMarks(coloured),
      usageText(all, look(80)),
      'a colour adds nothing to what is said: NO_COLOR',
    );
    const plain = usageText(all, look(null));
    isAsKept(t, 'plain', plain);
    t.notMatch(plain, /[█░#]/, 'not a terminal, and TERM=dumb');
    // Every bar has its number.
    for (const line of usageText(all, look(80)).split('\n')) if (/[█░]/.test(line)) t.match(line, /\d %/);
  },
);

t.test('who shares a workspace is named in one line', async (t) => {
  for (const columns of [80, 40]) {
    const text = usageText(shared, look(columns));
    fits(t, text, columns);
    isAsKept(t, `sharing-${columns}`, text);
  }
});

t.test('every state that is no answer, with what was known last and how old it is', async (t) => {
  const old = { at: NOW - 3 * HOUR - 5 * MINUTE };
  const none = { at: null, limits: null };
  const troubled = document([
    row('expired', {
      ...old,
      state: 'expired',
      why: 'its access token has expired; it is renewed when it is next used',
      remedy: 'codex-router refresh expired',
    }),
    row('rejected', {
      ...none,
      state: 'rejected',
      why: 'ChatGPT answered 401 token_invalidated',
      remedy: 'codex-router refresh rejected',
    }),
    row('mismatch', {
      ...none,
      state: 'mismatch',
      why: 'ChatGPT answered about somebody else',
      answeredFor: { accountId: 'd4444444-aaaa', userId: 'user-carol', email: null },
    }),
    row('forbidden', { ...none, state: 'forbidden', why: 'ChatGPT answered 403 invalid_workspace_selected' }),
    row('failed', { ...old, state: 'failed', why: 'ChatGPT answered 503' }),
    row('gone', { ...none, state: 'unreachable', why: 'chatgpt.com cannot be looked up now' }),
    row('slow', { ...none, state: 'timeout', why: 'ChatGPT did not answer within 15 s' }),
    row('busy', {
      ...none,
      heldBy: 'slot',
      agent: 'main',
      state: 'refreshing',
      why: 'OpenClaw is renewing it just now',
    }),
    row('closed', {
      ...none,
      state: 'no-token',
      why: 'the sealed record of it is missing',
      remedy: 'codex-router login, as that account',
    }),
    row('stopped', { ...none, state: 'interrupted', why: 'it was given up before it was answered' }),
    row('codex', { heldBy: 'codex' }),
    row(null, {
      identity: person(null, { email: 'other@example.test' }),
      stored: false,
      heldBy: 'slot',
      agent: 'ops',
    }),
  ]);
  const text = usageText(troubled, look(80));
  fits(t, text, 80);
  isAsKept(t, 'states', text);
  const offline = document([
    row('work', { ...old, state: 'offline' }),
    row('new', { ...none, state: 'offline' }),
  ]);
  isAsKept(t, 'offline', usageText(offline, look(80)));
  isAsKept(t, 'nobody', usageText(document([]), look(80)));
});

const hostile = row('名前'.repeat(30), {
  identity: person('名前'.repeat(30), {
    email: `\u202e${'x'.repeat(300)}@example.test`,
    plan: '\u001b[31mred\u001b[0m',
  }),
  workspace: '\u001b]0;title\u0007مساحة العمل\nnext line \u200f',
  heldBy: 'slot',
  agent: '🦞'.repeat(40),
  state: 'failed',
  why: `\u001b[2J${'w'.repeat(300)}`,
  limits: limits(
    [window('5 h', 50, HOUR, '模型'.repeat(20)), window('week', 50, DAY, '\u001b[31mred'), ...usual],
    { credits: { unlimited: false, balance: '9'.repeat(80) }, plan: '\u0007' },
  ),
  at: NOW - DAY,
});

t.test('names of any kind keep the columns and do nothing to the terminal', async (t) => {
  const sharing = [
    { accountId: '\u001b[31m', workspace: '名'.repeat(80), identities: [hostile.identity, work.identity] },
  ];
  const all = document([hostile, work], {
    sharing,
    notes: [{ code: 'X', text: `\u001b[2J${'n'.repeat(400)}` }],
  });
  for (const columns of [80, 40]) {
    const text = usageText(all, look(columns));
    fits(t, text, columns);
    isAsKept(t, `hostile-${columns}`, text);
    const frame = usageFrame(
      { looked: all, askedAt: NOW, nextAt: null, trouble: null },
      look(columns),
      100,
    ).join('\n');
    fits(t, frame, columns);
    for (const shown of [text, frame, usageLines(all, NOW).join('\n')]) {
      t.notMatch(shown, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e]/);
    }
  }
});

t.test('the picture of a watch, and its lines where nothing is drawn', async (t) => {
  const state = { looked: shared, askedAt: NOW, nextAt: NOW + MINUTE, trouble: null };
  isAsKept(t, 'watch-80', usageFrame(state, look(80), 24).join('\n'));
  isAsKept(t, 'watch-asking', usageFrame({ ...state, nextAt: null }, look(80), 24).join('\n'));
  const trouble = 'there is no OpenClaw here whose slot could be meant (HOST_NOT_FOUND)';
  isAsKept(t, 'watch-trouble', usageFrame({ ...state, trouble }, look(80), 24).join('\n'));
  const low = usageFrame(state, look(40), 8);
  t.equal(low.length, 8);
  fits(t, low.join('\n'), 40);
  isAsKept(t, 'watch-low', low.join('\n'));
  const expired = row('old', {
    state: 'expired',
    why: 'its access token has expired; Codex renews it when it is next used',
    at: NOW - HOUR,
  });
  const lines = usageLines(
    document([work, spent, expired, row('new', { state: 'offline', limits: null, at: null })]),
    NOW,
  );
  isAsKept(t, 'watch-lines', lines.join('\n'));
});

type Looks = UsageHistoryDocument['history'][number]['looks'];

/** A week: used in the day, a 5 h window that starts anew, nobody looking at the weekend. */
function course(): Looks {
  const looks: Looks = [];
  for (let at = NOW - 6 * DAY; at <= NOW - 20 * MINUTE; at += 30 * MINUTE) {
    const hour = new Date(at).getUTCHours();
    const isWeekend = at > NOW - 1.5 * DAY && at < NOW - 3 * HOUR;
    if (hour < 7 || hour > 19 || isWeekend) continue;
    const begun = Math.floor(at / (5 * HOUR)) * 5 * HOUR;
    const left = Math.max(0, Math.round(100 - ((at - begun) / (5 * HOUR)) * (60 + (hour % 7) * 9)));
    const weekLeft = Math.round(100 - ((at - (NOW - 6 * DAY)) / (6 * DAY)) * 71);
    looks.push({
      at,
      windows: [
        { name: null, label: '5 h', seconds: 18_000, leftPercent: left, resetsAt: begun + 5 * HOUR },
        { name: null, label: 'week', seconds: 604_800, leftPercent: weekLeft, resetsAt: NOW + DAY },
      ],
    });
  }
  return looks;
}

t.test('a history: charts on a terminal, a table elsewhere', async (t) => {
  const history = (
    looks: Looks,
    more: Partial<UsageHistoryDocument['history'][number]> = {},
  ): UsageHistoryDocument => ({
    ...DONE,
    meant: 'all',
    session: null,
    since: NOW - 7 * DAY,
    history: [{ identity: person('work'), stored: true, looks, ...more }],
    notes: [],
  });
  const week = history(course());
  for (const columns of [80, 40, 120]) {
    const text = usageHistoryText(week, look(columns));
    fits(t, text, columns);
    isAsKept(t, `history-${columns}`, text);
  }
  const ascii = usageHistoryText(week, look(80, { ascii: true }));
  isAsKept(t, 'history-ascii', ascii);
  t.notMatch(ascii, /[^\x20-\x7e\n]/);
  t.equal(usageHistoryText(week, look(80, { unicode: false })), ascii);
  t.equal(
    withoutMarks(usageHistoryText(week, look(80, { paint: marked }))),
    usageHistoryText(week, look(80)),
  );
  const table = usageHistoryText(history(course().slice(0, 3)), look(null));
  isAsKept(t, 'history-plain', table);
  const [first] = course();
  isAsKept(
    t,
    'history-one-look',
    usageHistoryText(history(first ? [{ ...first, at: NOW - MINUTE }] : []), look(80)),
  );
  isAsKept(t, 'history-none', usageHistoryText(history([]), look(80)));
  isAsKept(t, 'history-not-stored', usageHistoryText(history([], { stored: false }), look(80)));
  const extremes = [0, 0.4, 1, 50, 99.6, 100].map((leftPercent, place) => ({
    at: NOW - (6 - place) * 10 * MINUTE,
    windows: [{ name: hostile.identity.alias, label: 'limit', seconds: null, leftPercent, resetsAt: null }],
  }));
  const odd = usageHistoryText(history(extremes, { identity: hostile.identity }), look(40));
  fits(t, odd, 40);
  isAsKept(t, 'history-hostile', odd);
});
