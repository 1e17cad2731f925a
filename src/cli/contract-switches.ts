import * as z from 'zod';
import {
  accountId,
  done,
  effective,
  milliseconds,
  note,
  person,
  pin,
  slot,
  userId,
} from './contract-parts.js';

export const UseDocument = z.strictObject({
  ...done,
  result: z.enum(['switched', 'already-active', 'planned']),
  from: person.nullable(),
  to: person,
  slot,
  session: z.strictObject({ key: z.string().nullable(), why: z.string() }),
  pins: z.array(pin),
  affects: z.strictObject({ agents: z.array(z.string()), sessions: z.array(z.string()) }),
  checkedIn: z.array(
    z.strictObject({ accountId, userId, result: z.enum(['taken-home', 'imported', 'repo-newer']) }),
  ),
  moved: z
    .array(z.strictObject({ from: z.string(), unpinned: z.array(z.string()) }))
    .describe(
      'who else held the login and gave it up (--move), and the sessions whose pin was taken off for it',
    ),
  effective: effective.nullable().describe('null for a plan'),
  proved: z.boolean(),
  advice: z.string().nullable(),
  notes: z.array(note),
});

const refreshed = z.strictObject({
  identity: person,
  result: z
    .enum(['refreshed', 'held', 'login-needed', 'failed', 'unanswered', 'superseded', 'doubtful'])
    .describe('unanswered: the token may be spent; the next command asks again with the same one'),
  why: z.string().nullable(),
  remedy: z.string().nullable(),
  expiresAt: milliseconds.describe('of the access token that is stored now'),
});

export const RefreshDocument = z.strictObject({
  ...done,
  refreshed: z.array(refreshed),
  notDue: z.array(person),
  notes: z.array(note),
});

export const SyncDocument = z.strictObject({
  ...done,
  slots: z.array(
    slot.extend({
      occupant: person.nullable(),
      checkedIn: z.array(
        z.strictObject({
          accountId,
          userId,
          result: z.enum(['unchanged', 'taken-home', 'imported', 'repo-newer']),
        }),
      ),
    }),
  ),
  refreshed: z.array(refreshed).describe('refreshes that had been interrupted'),
  notes: z.array(note),
});

export const UndoDocument = z.strictObject({
  ...done,
  result: z.enum(['undone', 'planned']),
  undoes: z.string().describe('the id of the switch, as history gives it'),
  from: person.nullable(),
  to: person.nullable().describe('null: the slot was empty before'),
  slot,
  pins: z.array(pin),
  effective: effective.nullable().describe('null for a plan'),
  proved: z.boolean(),
  advice: z.string().nullable(),
  notes: z.array(note),
});

export const HistoryDocument = z.strictObject({
  ...done,
  switches: z
    .array(
      z.strictObject({
        id: z.string(),
        at: milliseconds,
        slot: z.string(),
        from: person.nullable(),
        to: person.nullable(),
        step: z
          .enum(['begun', 'swapped', 'applied', 'done', 'abandoned'])
          .describe('applied: all written, to be looked at again; abandoned: it counts as never made'),
        pins: z.int(),
        undoes: z.string().nullable(),
        undone: z.boolean(),
      }),
    )
    .describe('newest first'),
  damagedLines: z.int(),
});
