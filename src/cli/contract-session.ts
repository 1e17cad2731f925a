import * as z from 'zod';
import { done, milliseconds, note, person, pin, slot } from './contract-parts.js';

const place = z.enum(['slot', 'own-slot', 'neighbour']);

const entry = z.strictObject({
  key: z.string(),
  pinnedTo: z.string().nullable(),
  pinnedBy: z.enum(['person', 'host']).nullable().describe('host: OpenClaw itself, which may choose again'),
  place: z
    .enum([...place.options, 'gone', 'foreign'])
    .nullable()
    .describe(
      'gone: a login that is not there; foreign: not one of the provider; null where it is not pinned',
    ),
  identity: person
    .nullable()
    .describe(
      'whose login that is; without a pin who is in the slot, where the order leads to it alone; null where it cannot be told',
    ),
  stored: z.boolean().nullable().describe('whether that identity is stored; null without one'),
  problem: z.string().nullable().describe('what is there instead of a login'),
});

export const SessionShowDocument = z.strictObject({
  ...done,
  agent: z.string(),
  slot,
  session: entry,
  updatedAt: milliseconds.nullable(),
  companions: z.array(entry).describe('the entries that are pinned together with it'),
  companionOf: z.array(z.string()).describe('of a slash entry: the chats whose companion it is'),
  turn: z.enum(['running', 'none', 'unknown']).describe('whether a gateway runs a turn in it now'),
  notes: z.array(note),
});

/** What `session set` and `session clear` print. */
export const SessionDocument = z.strictObject({
  ...done,
  result: z
    .enum(['set', 'cleared', 'unchanged', 'pending', 'planned'])
    .describe('pending: a turn that runs can still write its old pin back; planned: a dry run'),
  agent: z.string(),
  key: z.string(),
  to: z
    .strictObject({
      profileId: z.string(),
      place,
      identity: person.nullable().describe('null while OpenClaw refreshes that login'),
      stored: z.boolean().nullable(),
    })
    .nullable()
    .describe('null: pinned to nothing'),
  pins: z.array(pin).describe('the session first, then its companions'),
  notes: z.array(note),
});
