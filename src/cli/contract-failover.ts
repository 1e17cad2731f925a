import * as z from 'zod';
import { FAILOVER_HOLDS, FAILOVER_REASONS, FAILOVER_STATUSES } from '../failover.js';
import { ROUND_MODES } from '../router/failover-plan.js';
import { FAILOVER_VERDICTS } from '../router/failover-policy.js';
import { done, effective, milliseconds, note, person, pin, slot } from './contract-parts.js';

/**
 * The documents of failover's single rounds; see contract.ts. Without --names a person is told by alias, ids are cut short, e-mails are null,
 * and so is cut who a direct chat is with in the key of a session.
 */

const window = z.strictObject({
  window: z.enum(['fiveHour', 'weekly']),
  remainingPercent: z.number(),
  resetsAt: milliseconds.nullable(),
});

const looked = z.strictObject({
  identity: person,
  verdict: z.enum(FAILOVER_VERDICTS).nullable().describe('null where nobody had to be weighed'),
  state: z
    .enum(['good', 'failed', 'needs-login', 'unknown'])
    .describe('unknown: nothing was learnt, which counts for nothing'),
  asked: z.boolean().describe('whether its own token was used for a question'),
  windows: z.array(window),
  effectivePercent: z.number().nullable().describe('the smaller of both windows'),
  restsUntil: milliseconds.nullable().describe('until when OpenClaw itself passes it over'),
  why: z.string().nullable(),
  remedy: z.string().nullable(),
});

export const FailoverRoundDocument = z.strictObject({
  ...done,
  at: milliseconds,
  apply: z.boolean().describe('false: a dry run, which wrote nothing at all'),
  mode: z
    .enum(ROUND_MODES)
    .describe('named: refused where others would move; shared: --shared-slot; own: --own-slot'),
  sessions: z
    .array(
      z.strictObject({
        key: z.string(),
        agent: z.string(),
        status: z.enum(FAILOVER_STATUSES).nullable().describe('that of its slot; null for one that is left'),
        runsOn: z.enum(['slot', 'own-slot', 'left', 'missing']),
        pinnedTo: z.string().nullable(),
        pinnedBy: z.enum(['person', 'host']).nullable(),
        why: z.string().nullable(),
      }),
    )
    .describe('every one that was named'),
  slots: z.array(
    z.strictObject({
      slot,
      sessions: z.array(z.string()),
      current: person.nullable(),
      status: z.enum(FAILOVER_STATUSES),
      reason: z.enum(FAILOVER_REASONS).nullable().describe('why the current one should be left'),
      held: z.enum(FAILOVER_HOLDS).nullable().describe('what keeps a switch from being made now'),
      why: z.string(),
      to: person.nullable(),
      changes: z
        .array(
          z.strictObject({
            session: z.string(),
            from: person.nullable(),
            to: person,
            why: z.string(),
            named: z.boolean().describe('false: a companion of a named one'),
          }),
        )
        .describe('every session entry that would be, or was, written'),
      others: z
        .strictObject({ sessions: z.array(z.string()), agents: z.array(z.string()) })
        .describe('who would move with the slot though not named; their entries are never written'),
      looked: z.array(looked).describe('the current one first; candidates only where it should be left'),
      passed: z
        .array(z.strictObject({ identity: person, why: z.string() }))
        .describe('no candidates, and not asked'),
      outcome: z
        .strictObject({
          slot,
          inSlot: person.nullable(),
          pins: z.array(pin),
          effective,
          proved: z.boolean().describe('the gateway itself told of the new login'),
          advice: z.string().nullable(),
        })
        .nullable()
        .describe('what a second look found; null for a plan'),
      failure: z
        .strictObject({ code: z.string(), message: z.string(), hint: z.string().nullable() })
        .nullable(),
    }),
  ),
  asked: z.array(person).describe('whose own token was used for a question, and nobody else’s was'),
  notes: z.array(note),
});

export const FailoverLeaveDocument = z.strictObject({
  ...done,
  result: z.enum(['left', 'planned', 'nothing']),
  slots: z.array(
    z.strictObject({
      slot,
      identity: person.nullable().describe('who is, or was, in it'),
      emptied: z.boolean().describe('nobody is pinned to it any more: its login is stored again'),
      pins: z.array(pin),
      checkedIn: z.enum(['unchanged', 'taken-home', 'imported', 'repo-newer']).nullable(),
      effective: effective.nullable().describe('null for a plan'),
      proved: z.boolean(),
      advice: z.string().nullable(),
    }),
  ),
  notes: z.array(note),
});
