/** The documents of the ways into routed operation and out of it; see contract.ts. */
import * as z from 'zod';
import { BELONGING_KINDS } from '../router/uninstall.js';
import { done, effective, note, person, slot } from './contract-parts.js';

const checkedIn = z
  .enum(['unchanged', 'taken-home', 'imported', 'repo-newer'])
  .describe('repo-newer: another login of this person is the stored one; this one is sealed as a back-up');

/** What `import --from openclaw --take` does to the OpenClaw. */
export const hostRouting = z.strictObject({
  stateDir: z.string(),
  stores: z.array(
    slot.extend({
      stays: z
        .strictObject({
          identity: person,
          was: z.string().describe('the profile that the login was in'),
          because: z.enum(['named', 'used-last', 'in-slot', 'only', 'main']),
        })
        .nullable()
        .describe('who is left in the slot; null for a store without a login'),
      goes: z.array(z.strictObject({ profileId: z.string(), identity: person, stored: checkedIn })),
      left: z.array(z.strictObject({ profileId: z.string(), what: z.string() })),
      changes: z.boolean(),
    }),
  ),
  pins: z.array(
    z.strictObject({
      agent: z.string(),
      key: z.string(),
      was: z.string(),
      is: z.string().nullable().describe('null: taken off'),
      whose: person.nullable(),
      moves: z.boolean().describe('chosen by a person, and on another account from now on'),
    }),
  ),
  affects: z.strictObject({ agents: z.array(z.string()), sessions: z.array(z.string()) }),
  effective: effective.nullable().describe('of the main slot; null where nothing was written'),
  proved: z.boolean(),
});

const ejected = { identity: person, profileId: z.string() };

export const EjectDocument = z.strictObject({
  ...done,
  result: z.enum(['ejected', 'planned', 'already-ejected']),
  stateDir: z.string(),
  slot,
  occupant: person.nullable(),
  added: z.array(z.strictObject(ejected)).describe('written beside the slot'),
  there: z.array(z.strictObject({ ...ejected, agent: z.string() })).describe('in this OpenClaw already'),
  left: z
    .array(z.strictObject({ identity: person, why: z.string(), remedy: z.string() }))
    .describe('not handed over'),
  disowned: z.boolean().describe('the owner file is gone, or goes'),
  effective: effective.nullable().describe('null where nothing was written'),
  proved: z.boolean(),
  notes: z.array(note),
});

export const UninstallDocument = z.strictObject({
  ...done,
  result: z.enum(['uninstalled', 'planned', 'nothing-here']),
  eject: z
    .strictObject({
      slot,
      occupant: person.nullable(),
      added: z.array(z.strictObject(ejected)),
      there: z.array(z.strictObject({ ...ejected, agent: z.string() })),
    })
    .nullable()
    .describe('null where there is no OpenClaw, or none of ours'),
  stops: z
    .array(
      z.strictObject({
        code: z.enum(['ONLY_HERE', 'LENT']),
        identity: person.nullable().describe('null for a login that is not stored yet'),
        what: z.string(),
        why: z.string(),
        remedy: z.string(),
      }),
    )
    .describe('what has to be settled first: while there is any, nothing is removed'),
  removes: z.array(
    z.strictObject({
      kind: z.enum(BELONGING_KINDS),
      what: z.string().describe('a path, or the account of the keychain item'),
    }),
  ),
  leaves: z.array(z.string()).describe('what lies in our folders and is not ours'),
  identities: z.int().describe('forgotten here'),
  backUps: z.int().describe('sealed back-ups, lost with the key'),
  notes: z.array(note),
});
