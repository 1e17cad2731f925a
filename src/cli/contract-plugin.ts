import * as z from 'zod';
import { done } from './contract-parts.js';

/** The document of `plugin`, whichever way it was asked; see contract.ts. */
export const PluginDocument = z.strictObject({
  ...done,
  path: z.string().describe('the folder that "openclaw plugins install" takes'),
  program: z.string().describe('the codex-router.js that the plugin runs'),
  snippet: z
    .strictObject({
      plugins: z.strictObject({
        entries: z.strictObject({
          'codex-router': z.strictObject({
            enabled: z.literal(true),
            config: z.strictObject({ program: z.string(), allowSenders: z.array(z.string()).optional() }),
          }),
        }),
      }),
    })
    .describe('to be merged into openclaw.json'),
});
