import * as z from 'zod/mini';
import { type PluginConfig, parsePluginConfig } from './permission.js';

/** The plugin's own part of its config; who may ask is `permission.ts`. */
export interface Config extends PluginConfig {
  readonly program: string | null;
  readonly timeoutMs: number;
}

const OWN = z.looseObject({
  program: z.optional(z.string()),
  timeoutSeconds: z.optional(z.number().check(z.gte(5), z.lte(600))),
});

/** @throws Error with one sentence about what is wrong in it. */
export function parseConfig(value: unknown): Config {
  const own = OWN.safeParse(value ?? {});
  if (!own.success) {
    throw new Error(
      'plugins.entries.codex-router.config: program is a path, timeoutSeconds a number from 5 to 600',
    );
  }
  const { program, timeoutSeconds = 90 } = own.data;
  return { ...parsePluginConfig(value), program: program ?? null, timeoutMs: timeoutSeconds * 1000 };
}
