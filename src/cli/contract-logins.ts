/** The documents of the commands that make, lend, end and carry logins; see contract.ts. */
import * as z from 'zod';
import { DOUBTS, SOURCES } from '../repo/repo.js';
import { done, milliseconds, note, person, slot } from './contract-parts.js';

export const LendDocument = z.strictObject({
  ...done,
  result: z.enum(['lent', 'renewed', 'moved', 'planned']),
  identity: person,
  to: z.enum(['codex']),
  folder: z.string().describe('the Codex home'),
  what: z.enum(['access', 'grant']).describe('its access token only, or the whole login (--move)'),
  until: milliseconds.nullable().describe('when the lent access token expires; null for a whole login'),
  displaced: person.nullable().describe('who was signed in there; unlend puts them back'),
  notes: z.array(note),
});

export const UnlendDocument = z.strictObject({
  ...done,
  result: z.enum(['unlent', 'unchanged']).describe('unchanged: nothing was lent'),
  identity: person.nullable(),
  folder: z.string().nullable(),
  what: z.enum(['access', 'grant']).nullable(),
  removed: z.boolean().describe('false when what was lent was not there any more'),
  handBack: z
    .enum(['unchanged', 'taken-home', 'repo-newer'])
    .nullable()
    .describe('how a login that was handed over came home; taken-home: as Codex had refreshed it'),
  restored: person.nullable().describe('who was put back'),
  notes: z.array(note),
});

export const LogoutDocument = z.strictObject({
  ...done,
  result: z.enum(['logged-out', 'planned']),
  identity: person,
  revoked: z.boolean().describe('whether the issuer has said that the login is worth nothing now'),
  clearedSlots: z.array(slot),
  unpinned: z.array(z.string()),
  next: z.array(z.string()).describe('the profile ids OpenClaw has left for its turns'),
  sealed: z.int().describe('other logins of this identity in sealed back-ups, which are revoked too'),
  notes: z.array(note),
});

export const LoginDocument = z.strictObject({
  ...done,
  result: z
    .enum(['added', 'renewed', 'unchanged'])
    .describe('renewed: an identity that was stored has the newer login now'),
  identity: person,
  workspace: z.string().nullable().describe('null for a personal account, and where it is not known'),
  source: z.enum(SOURCES),
  verified: z.boolean().describe('whether a server accepted a call with it'),
  expiresAt: milliseconds.describe('of the access token, ms since 1970'),
  former: z
    .strictObject({
      sealed: z.boolean().describe('codex-router restore lists it'),
      place: z
        .enum(['parked', 'slot', 'elsewhere', 'codex', 'unknown'])
        .describe('who still runs on it; parked: nobody'),
      doubt: z.enum(DOUBTS).nullable().describe('what had spoken against it'),
      text: z.string(),
    })
    .nullable()
    .describe('what became of the login that was stored before'),
  notes: z.array(note),
});

const pendingLogin = z.strictObject({
  startedAt: milliseconds,
  expiresAt: milliseconds,
  expect: z.string().nullable().describe('whom it has to be of, as it was given'),
  alias: z.string().nullable(),
});

export const LoginStartDocument = z.strictObject({
  ...done,
  result: z.literal('started'),
  url: z
    .string()
    .describe('for a person to open in any browser; it holds the state of this login and nothing else of it'),
  login: pendingLogin,
  replaced: pendingLogin
    .nullable()
    .describe('the login that was pending before and cannot be finished any more'),
});

export const LoginStatusDocument = z.strictObject({
  ...done,
  result: z
    .enum(['none', 'pending', 'used', 'expired'])
    .describe('used: finished or ended; expired: told once, then forgotten'),
  login: pendingLogin.nullable(),
});

export const LoginCancelDocument = z.strictObject({
  ...done,
  result: z.enum(['cancelled', 'none']),
  wasDamaged: z.boolean().describe('what was removed could not be read'),
});

export const ExportDocument = z.strictObject({
  ...done,
  result: z.literal('exported'),
  file: z.string(),
  closedBy: z.enum(['passphrase', 'recipients']).nullable().describe('null when it lies there in the clear'),
  armor: z.boolean(),
  identities: z.array(
    z.strictObject({
      identity: person,
      heldBy: z.string().nullable().describe('who runs on it now and will outdate the copy'),
      doubt: z.enum(DOUBTS).nullable(),
    }),
  ),
  notes: z.array(note),
});
