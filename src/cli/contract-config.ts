import * as z from 'zod';
import { SNIPPET_KINDS } from '../slot/snippets.js';
import { done, note } from './contract-parts.js';
import { AGENT_ABILITIES } from './settings.js';

/** The document of `config`, whichever way it was asked; see contract.ts. */
export const ConfigDocument = z.strictObject({
  ...done,
  path: z.string().describe('of config.json, which need not exist'),
  settings: z.strictObject({
    agents: z.strictObject({
      allow: z
        .array(z.enum(AGENT_ABILITIES))
        .describe('what agents may run beside what only looks; none unless set'),
    }),
    failover: z
      .strictObject({
        sessions: z.array(z.string()).describe('keys; none unless set'),
        order: z
          .array(z.string())
          .describe('who may be taken, best first; none: everybody stored, by what is left'),
        thresholdPercent: z.strictObject({ fiveHour: z.int(), weekly: z.int() }),
        hysteresisPercent: z.int(),
        dwellMinutes: z.int(),
        restMinutes: z.int().describe('after the dwell of who came instead'),
        quietSeconds: z.int(),
        maxSwitchesPerHour: z.int(),
        hardFailures: z.int(),
        goodReads: z.int(),
        intervalSeconds: z.int(),
        notify: z.strictObject({
          command: z.array(z.string()).nullable(),
          message: z.strictObject({ channel: z.string(), target: z.string() }).nullable(),
        }),
      })
      .describe('with the defaults for what is not set'),
  }),
});

/** The document of `config snippet`. */
export const ConfigSnippetDocument = z.strictObject({
  ...done,
  release: z.string().nullable().describe('of the OpenClaw found; null when none was'),
  writtenFor: z
    .string()
    .describe('the release whose commands these are; another than the one found where that is not known'),
  snippets: z.array(
    z.strictObject({
      kind: z.enum(SNIPPET_KINDS),
      title: z.string(),
      commands: z.array(z.array(z.string())).describe('words, not quoted for a shell'),
      shell: z.array(z.string()).describe('the same as lines for a POSIX shell'),
      undo: z.string().describe('what takes it back'),
      notes: z.array(z.string()),
      runs: z
        .enum(['scheduler', 'agent'])
        .nullable()
        .describe("who runs codex-router: OpenClaw's scheduler, or an agent, which may only look"),
    }),
  ),
  notes: z.array(note).describe('RELEASE_UNKNOWN: the commands are those of another release'),
});
