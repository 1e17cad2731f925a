import * as z from 'zod';
import { done } from './contract-parts.js';
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
  }),
});
