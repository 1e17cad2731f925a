import * as z from 'zod';
import { DOUBTS } from '../repo/repo.js';

export const accountId = z.string().describe('the workspace: the claim chatgpt_account_id');
export const userId = z.string().describe('the seat: the claim chatgpt_user_id');
export const milliseconds = z.int().describe('ms since 1970');

export const person = z.strictObject({
  accountId,
  userId,
  alias: z.string().nullable(),
  email: z.string().nullable(),
  plan: z.string().nullable(),
});
export const note = z.strictObject({ code: z.string(), text: z.string() });
export const slot = z.strictObject({ layout: z.string(), agent: z.string(), profileId: z.string() });
export const pin = z.strictObject({
  key: z.string(),
  was: z.string().nullable(),
  is: z.string().nullable(),
  result: z.enum(['set', 'already', 'gone', 'pending']),
});
export const effective = z.enum(['now', 'after-idle', 'after-next-turn', 'after-reload', 'no-gateway']);
export const done = { schemaVersion: z.literal(1), ok: z.literal(true) };
export const listed = person.extend({
  workspace: z.string().nullable(),
  active: z.boolean().nullable().describe('null when the slot could not be read'),
  verified: z.boolean().describe('false until a server accepted a call with these tokens'),
  sharedWith: z.enum(['codex']).nullable().describe('who else was knowingly left with this login'),
  lentTo: z
    .strictObject({
      tool: z.enum(['codex']),
      folder: z.string(),
      what: z.enum(['access', 'grant']).describe('its access token only, or the whole login'),
      until: milliseconds.nullable().describe('when a lent access token expires'),
    })
    .nullable(),
  doubt: z.enum(DOUBTS).nullable().describe('why its next use may be refused'),
  expiresAt: milliseconds,
});
