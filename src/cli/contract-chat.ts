import * as z from 'zod';
import { effective, milliseconds } from './contract-parts.js';

/** The documents of what is asked from a chat; see contract.ts. */

const buttons = z
  .array(z.array(z.strictObject({ text: z.string(), data: z.string().max(63) })))
  .describe('rows; the data of one is a text of a request, when it is pressed');

export const ChatRequest = z
  .looseObject({
    schemaVersion: z.literal(1),
    text: z.string().max(8000).describe('as it was typed, or the data of a button'),
    session: z
      .string()
      .nullable()
      .describe('the key of the chat, from whoever passes it on, never from the text'),
    sessionWhy: z.string().nullable().describe('why there is none'),
    sender: z.string().nullable().describe('<channel>:<account>:<sender>; whose a question or a menu is'),
    chat: z.string().nullable().describe('<channel>:<account>:<conversation>[:<thread>]'),
    isDirect: z.boolean().describe('false also where it is not known'),
    showsEmails: z.boolean(),
    asksBeforeMovingOthers: z.boolean(),
    isTurnRunning: z
      .boolean()
      .nullable()
      .optional()
      .describe('whether a turn of an agent runs in that session, where whoever asks can tell'),
  })
  .describe('what codex-router chat --stdin reads');

export const ChatDocument = z.strictObject({
  schemaVersion: z.literal(1),
  ok: z.literal(true),
  text: z.string().describe('plain, safe to show, in lines'),
  buttons,
  result: z
    .string()
    .describe(
      'menu, empty, confirm, declined, switched, already-active, overtaken, undone, explained, usage, preview, removed, or of /codex_auth',
    ),
  session: z.string().nullable(),
  effective: effective.nullable(),
  pinsPending: z
    .boolean()
    .describe('a turn is running that may write its old pin back: codex-router sync after it'),
  dropsMessage: z.boolean().describe('the message held, or may have held, a secret: it is to be deleted'),
  taken: z
    .strictObject({ agent: z.string(), profileId: z.string(), expiresAt: milliseconds })
    .nullable()
    .describe('what the gateway should be seen to hold by who can look into it'),
  closes: z
    .array(z.string())
    .describe(
      'ids of sessions whose connection to the model should be closed by who can do that inside the gateway',
    ),
  textIfTaken: z.string().nullable().describe('what may be said instead, once that was seen and done'),
});

export const ChatErrorDocument = z.strictObject({
  schemaVersion: z.literal(1),
  ok: z.literal(false),
  error: z.strictObject({ code: z.string(), message: z.string(), hint: z.string().nullable() }),
  text: z
    .string()
    .optional()
    .describe('one line; left out where the command was ended before it could answer'),
  buttons: buttons.optional(),
  dropsMessage: z.boolean().optional(),
});
