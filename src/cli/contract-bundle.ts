import * as z from 'zod';
import { done } from './contract-parts.js';

/** Every text in a bundle: words of this program, numbers, ages and pseudonyms; see src/router/bundle-words.ts. */
const word = z.string().regex(/^[\w<>*/. ():+-]{1,80}$/);
const code = z.string().regex(/^[A-Z][A-Z0-9_]*$/);
const mode = z.string().regex(/^0[0-7]{3}$/);
const age = z.string().regex(/^(in )?\d.*|other$/);
const person = z
  .string()
  .regex(/^(nobody|identity \d+)$/)
  .describe('the same for the same identity in this bundle only');
const count = z.int();

export const BundleDocument = z.strictObject({
  ...done,
  kind: z.literal('bundle'),
  versions: z.strictObject({
    codexRouter: word,
    node: word,
    platform: word,
    arch: word,
    kernel: word,
    libc: word,
    distribution: word,
  }),
  vault: z.strictObject({
    state: code.describe('OPEN, or the code of why it cannot be opened'),
    keys: z.array(word),
    index: code,
  }),
  identities: z.array(
    z.strictObject({
      identity: person,
      plan: word,
      source: word,
      verified: z.boolean(),
      doubt: word,
      shared: z.boolean(),
      lent: word,
      placed: age.nullable(),
      expires: age,
      stored: age,
    }),
  ),
  host: z.strictObject({
    error: code.nullable(),
    found: z
      .strictObject({
        layout: word,
        release: word,
        releaseFrom: word.nullable(),
        provider: word,
        slotIsDefault: z.boolean(),
        way: word,
        refused: code.nullable(),
        reasons: z.array(code),
        notes: z.array(code),
        gatewayRuns: z.boolean(),
        agents: z.array(
          z.strictObject({ agent: word, isDefault: z.boolean(), runsOn: word, isReadable: z.boolean() }),
        ),
        stores: z.array(
          z.strictObject({
            path: word,
            format: word,
            holds: word,
            schema: count.nullable(),
            state: word,
            profiles: count,
            mode: mode.nullable(),
            bytes: count.nullable(),
          }),
        ),
        locks: z.array(z.strictObject({ kind: word, path: word })),
      })
      .nullable(),
    slots: z.array(
      z.strictObject({
        agent: word,
        error: code.nullable(),
        holds: word.nullable(),
        identity: person.nullable(),
        expires: age.nullable(),
        selectable: z.boolean().nullable(),
        order: z.array(word).nullable(),
        neighbours: z.array(z.strictObject({ profile: word, holds: word })),
      }),
    ),
    sessions: z.array(
      z.strictObject({
        agent: word,
        error: code.nullable(),
        kinds: z.array(z.strictObject({ kind: word, channel: word, pinned: word, count })),
      }),
    ),
  }),
  layers: z.strictObject({
    error: code.nullable(),
    symptom: word.nullable(),
    layers: z.array(z.strictObject({ layer: word, verdict: word, cause: word, identity: person })),
  }),
  findings: z.strictObject({
    error: code.nullable(),
    findings: z.array(z.strictObject({ code, part: word, danger: z.boolean(), isMendable: z.boolean() })),
  }),
  switches: z.strictObject({
    error: code.nullable(),
    count,
    last: z
      .array(z.strictObject({ kind: code, step: word, from: person, to: person, pins: count, age }))
      .describe('the last ten, oldest first'),
  }),
  files: z.strictObject({
    groups: z.array(z.strictObject({ role: word, kind: word, mode, count, bytes: count })),
    unreadable: z.array(code),
  }),
  environment: z.array(word).describe('variables that are set; never to what'),
});

/** With a file: it is where the person wanted it. */
export const BundleWrittenDocument = z.strictObject({
  ...done,
  kind: z.literal('bundle-written'),
  bytes: count,
});

export const DoctorBundleDocument = z.discriminatedUnion('kind', [BundleDocument, BundleWrittenDocument]);
