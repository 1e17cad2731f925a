import * as z from 'zod';
import { CAUSES, LAYERS, SYMPTOMS, VERDICTS } from '../router/explain-layers.js';
import { PARTS } from '../router/finding.js';
import { FINDING_CODES } from '../router/finding-codes.js';
import { done, note, person, slot } from './contract-parts.js';

/** The documents of doctor and explain; see contract.ts. */

export const DoctorDocument = z.strictObject({
  ...done,
  inDanger: z.boolean().describe('a login can be lost or spent twice; the exit status is 6 then'),
  findings: z.array(
    z.strictObject({
      code: z.enum(FINDING_CODES),
      part: z.enum(PARTS).describe('the layer, or the thing, that is not as it should be'),
      danger: z.boolean(),
      text: z.string(),
      remedy: z.string().nullable().describe('the one command that mends it'),
      mends: z.string().nullable().describe('what doctor --fix would do about it'),
    }),
  ),
  mended: z
    .array(
      z.strictObject({
        code: z.enum(FINDING_CODES),
        part: z.enum(PARTS),
        text: z.string(),
        undo: z.string().nullable().describe('the command that takes it back'),
      }),
    )
    .describe('what --fix did, in that order; findings are what is left'),
  failed: z
    .array(
      z.strictObject({
        code: z.enum(FINDING_CODES),
        part: z.enum(PARTS),
        error: z.string(),
        message: z.string(),
        hint: z.string().nullable(),
      }),
    )
    .describe('what --fix tried in vain; the first one gives the exit status while no login is in danger'),
  notes: z.array(note),
});

export const DoctorUndoDocument = z.strictObject({
  ...done,
  result: z.literal('undone'),
  id: z.string().describe('of the mend that was taken back'),
  text: z.string(),
  notes: z.array(note),
});

export const ExplainDocument = z.strictObject({
  ...done,
  agrees: z.boolean().describe('no layer was seen to disagree'),
  agent: z.string(),
  slot,
  session: z.strictObject({ key: z.string().nullable(), why: z.string() }),
  layers: z
    .array(
      z.strictObject({
        layer: z.enum(LAYERS),
        identity: person.nullable().describe('whom this layer means'),
        value: z
          .string()
          .nullable()
          .describe('what stands there where that is nobody; for the label, the e-mail that is shown'),
        readFrom: z.string(),
        verdict: z.enum(VERDICTS),
        cause: z.enum(CAUSES).nullable().describe('what is wrong; null where it does not disagree'),
        why: z.string().nullable(),
      }),
    )
    .describe('all seven, in their order'),
  first: z.enum(LAYERS).nullable().describe('the first that disagrees'),
  symptom: z.enum(SYMPTOMS).nullable().describe('what a person sees of it'),
  remedy: z.string().nullable().describe('the one command that mends it'),
  notes: z.array(note),
});
