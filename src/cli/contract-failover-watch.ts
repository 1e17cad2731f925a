import * as z from 'zod';
import { FAILOVER_HOLDS, FAILOVER_REASONS, FAILOVER_STATUSES } from '../failover.js';
import { FAILOVER_EVENTS } from '../repo/failover-log.js';
import { done, milliseconds, note } from './contract-parts.js';

/** The documents of failover as a service; see contract.ts. */

const name = z
  .string()
  .describe(
    'the mask that the log has for it; with --names the session key, the slot or the identity itself',
  );

const decided = {
  reason: z.enum(FAILOVER_REASONS).nullable().describe('why the current one should be left'),
  status: z.enum(FAILOVER_STATUSES).nullable(),
  held: z.enum(FAILOVER_HOLDS).nullable().describe('what keeps a switch from being made now'),
};

const standing = {
  rounds: z.int().describe('that did not fail'),
  failed: z.int(),
  failedInARow: z.int(),
  nextAt: milliseconds.nullable(),
};

/** One line each. */
export const FailoverWatchDocument = z.discriminatedUnion('event', [
  z.strictObject({
    ...done,
    event: z.literal('started'),
    at: milliseconds,
    apply: z.boolean().describe('false: a dry run, which changes nothing'),
    mode: z.enum(['named', 'shared', 'own']),
    intervalSeconds: z.number(),
    sessions: z.array(name),
    notifies: z.array(z.enum(['command', 'message'])),
  }),
  z.strictObject({
    ...done,
    event: z.literal('round'),
    at: milliseconds,
    isNew: z.boolean().describe('whether it came to something else than the round before'),
    slots: z.array(
      z.strictObject({
        slot: name,
        sessions: z.array(name),
        ...decided,
        current: name.nullable(),
        leftPercent: z.number().nullable().describe('the smaller of both windows of the current one'),
        to: name.nullable(),
        changes: z.int().describe('sessions that move, or moved'),
        others: z.int().describe('sessions and agents that would move though they were not named'),
        code: z.string().nullable().describe("an error's, where the switch failed"),
      }),
    ),
    missing: z.array(name).describe('named sessions that are not there'),
    left: z.array(name).describe('named sessions that somebody has pinned elsewhere'),
    asked: z.int().describe('how many identities were asked for their usage'),
    ...standing,
  }),
  z.strictObject({
    ...done,
    event: z.literal('trouble'),
    at: milliseconds,
    isNew: z.boolean(),
    code: z.string(),
    message: z.string().nullable().describe('with --names, because it may quote who is meant'),
    ...standing,
  }),
  z.strictObject({
    ...done,
    event: z.literal('notice'),
    at: milliseconds,
    code: z.string(),
    message: z.string(),
  }),
  z.strictObject({ ...done, event: z.literal('stopped'), at: milliseconds, ...standing }),
]);

export const FailoverLogDocument = z.strictObject({
  ...done,
  path: z.string(),
  events: z.array(
    z.strictObject({
      at: milliseconds,
      kind: z.enum(FAILOVER_EVENTS),
      apply: z.boolean(),
      slot: name.nullable(),
      sessions: z.array(name),
      from: name.nullable(),
      to: name.nullable(),
      ...decided,
      code: z.string().nullable(),
    }),
  ),
});

export const FailoverStatusDocument = z.strictObject({
  ...done,
  running: z.enum(['yes', 'no', 'unknown']).describe('unknown: its lock cannot be judged from here'),
  watch: z
    .strictObject({
      pid: z.int(),
      startedAt: milliseconds,
      apply: z.boolean(),
      intervalSeconds: z.number(),
      sessions: z.int(),
      lastRoundAt: milliseconds.nullable(),
      lastStatus: z.enum(FAILOVER_STATUSES).nullable(),
      lastError: z.string().nullable(),
      nextAt: milliseconds.nullable().describe('about when: a rest is up to a tenth longer or shorter'),
      stoppedAt: milliseconds.nullable(),
      wasKilled: z.boolean().describe('it did not end by itself'),
    })
    .nullable()
    .describe('the one that runs, else the last one; null when there never was one'),
  slots: z.array(
    z.strictObject({
      slot: name,
      current: name.nullable(),
      since: milliseconds.nullable(),
      switchesInHour: z.int(),
      identities: z.array(
        z.strictObject({
          identity: name,
          failures: z.int(),
          goodReads: z.int().nullable(),
          leftAt: milliseconds.nullable(),
          seenAt: milliseconds.nullable(),
        }),
      ),
    }),
  ),
  notes: z.array(note),
});

export const FailoverStopDocument = z.strictObject({
  ...done,
  result: z.enum(['stopped', 'not-running']),
  pid: z.int().nullable(),
});

export const FailoverUnitDocument = z.strictObject({
  ...done,
  kind: z.enum(['systemd', 'launchd']),
  apply: z.boolean(),
  path: z.string().describe('where to put it'),
  text: z.string(),
  install: z.array(z.string()).describe('what to type'),
  remove: z.array(z.string()),
  notes: z.array(note),
});
