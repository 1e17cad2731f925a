import * as z from 'zod/mini';

/** What the OpenClaw plugin, or any other host of chat commands, asks `codex-router chat --stdin`: one JSON document. */
export const ChatRequest = z.looseObject({
  schemaVersion: z.literal(1),
  /** As it was typed, or the data of a button. */
  text: z.string().check(z.maxLength(8000)),
  /** From the handler's context, never from the text; null when the host of the command does not know it. */
  session: z.nullable(z.string()),
  /** One clause: why there is no session. */
  sessionWhy: z.nullable(z.string()),
  /** `<channel>:<account>:<sender>`; null: nothing that has to belong to somebody is done. */
  sender: z.nullable(z.string()),
  /** `<channel>:<account>:<conversation>[:<thread>]` */
  chat: z.nullable(z.string()),
  /** False also where it is not known. */
  isDirect: z.boolean(),
  showsEmails: z.boolean(),
  asksBeforeMovingOthers: z.boolean(),
  /**
   * Whether a turn of an agent runs in that session, as the plugin itself has seen; false tells the command that asks, which OpenClaw
   * counts as a run of its own, from a turn that could write an old pin back.
   */
  isTurnRunning: z.optional(z.nullable(z.boolean())),
});
export type ChatRequest = z.infer<typeof ChatRequest>;

const button = z.looseObject({ text: z.string(), data: z.string() });

/** What comes back on stdout: one JSON document. */
export const ChatDocument = z.looseObject({
  schemaVersion: z.literal(1),
  ok: z.boolean(),
  /** Plain text, safe to show. */
  text: z.string(),
  /** Rows of buttons; empty when there is nothing to choose. */
  buttons: z.array(z.array(button)),
  /** A stable word: `switched`, `menu`, `confirm`, `usage`, ... */
  result: z.string(),
  session: z.nullable(z.string()),
  effective: z.nullable(z.enum(['now', 'after-idle', 'after-next-turn', 'after-reload', 'no-gateway'])),
  /** A pin was written inside a running turn and has to be looked at again when it ends. */
  pinsPending: z.boolean(),
  /** The message held a secret: it is to be deleted. */
  dropsMessage: z.boolean(),
  /** What the gateway has to be seen to hold before `textIfTaken` may be said; `expiresAt` in ms epoch. */
  taken: z.nullable(z.looseObject({ agent: z.string(), profileId: z.string(), expiresAt: z.number() })),
  /** Sessions, by id, whose connection to the model has to be closed, outside of a turn, before `textIfTaken` may be said. */
  closes: z.array(z.string()),
  textIfTaken: z.nullable(z.string()),
});
export type ChatDocument = z.infer<typeof ChatDocument>;

/** What comes back when it could not be done: the error document of every command, and what to say. */
export const ChatFailure = z.looseObject({
  schemaVersion: z.literal(1),
  ok: z.literal(false),
  error: z.looseObject({ code: z.string(), message: z.string(), hint: z.nullable(z.string()) }),
  /** One line; left out where the command was ended before it could answer. */
  text: z.optional(z.string()),
  buttons: z.optional(z.array(z.array(button))),
  dropsMessage: z.optional(z.boolean()),
});
export type ChatFailure = z.infer<typeof ChatFailure>;
