import * as z from 'zod';
import { USAGE_STATES } from '../router/usage-result.js';
import { done, milliseconds, note, person } from './contract-parts.js';

/** The documents of usage; see contract.ts. */

const window = z.strictObject({
  name: z.string().nullable().describe('null for the ordinary limit'),
  label: z.string().describe('by its length: 5 h, week, ...'),
  seconds: z.int().nullable(),
  usedPercent: z.number(),
  leftPercent: z.number(),
  resetsAt: milliseconds.nullable(),
});

const limits = z.strictObject({
  plan: z.string().nullable(),
  allowed: z.boolean().nullable().describe('whether ordinary turns are let through; null: not told'),
  reached: z.boolean().describe('the ordinary limit, or what a workspace lets its member spend, is used up'),
  windows: z.array(window),
  credits: z.strictObject({ unlimited: z.boolean(), balance: z.string().nullable() }).nullable(),
  spend: z
    .strictObject({
      reached: z.boolean(),
      limit: z.string().nullable(),
      used: z.string().nullable(),
      resetsAt: milliseconds.nullable(),
    })
    .nullable(),
});

/** About whom it is. */
const meant = {
  meant: z.enum(['slot', 'selectors', 'all']),
  session: z
    .strictObject({ key: z.string().nullable(), why: z.string(), agent: z.string() })
    .nullable()
    .describe('without a selector: whose slot was looked at'),
};

export const UsageDocument = z.strictObject({
  ...done,
  ...meant,
  usage: z.array(
    z.strictObject({
      identity: person,
      workspace: z.string().nullable(),
      stored: z.boolean(),
      heldBy: z.enum(['slot', 'store', 'codex']).describe('whose copy of its own access token was used'),
      agent: z.string().nullable().describe('the agent in whose store it lies'),
      state: z.enum(USAGE_STATES),
      why: z.string().nullable(),
      remedy: z.string().nullable(),
      answeredFor: z
        .strictObject({
          accountId: z.string().nullable(),
          userId: z.string().nullable(),
          email: z.string().nullable(),
        })
        .nullable()
        .describe('whom the server spoke of instead'),
      at: milliseconds.nullable().describe('of the limits'),
      limits: limits.nullable().describe('of now where the state is "answered", else the last known ones'),
    }),
  ),
  sharing: z
    .array(
      z.strictObject({
        accountId: z.string(),
        workspace: z.string().nullable(),
        identities: z.array(person),
      }),
    )
    .describe('those of `usage` that are in one workspace'),
  notes: z.array(note),
});

export const UsageHistoryDocument = z.strictObject({
  ...done,
  ...meant,
  since: milliseconds,
  history: z.array(
    z.strictObject({
      identity: person,
      stored: z.boolean().describe('of somebody who is not stored here nothing is kept'),
      looks: z
        .array(
          z.strictObject({
            at: milliseconds,
            windows: z.array(window.omit({ usedPercent: true })),
          }),
        )
        .describe(
          'oldest first: when a whole percent had changed, else every half an hour that somebody looked',
        ),
    }),
  ),
  notes: z.array(note),
});
