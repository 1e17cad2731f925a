import { join } from 'node:path';
import { parseEnv } from 'node:util';
import * as z from 'zod/mini';
import { readFile } from '../os/files.js';
import type { Env } from '../os/folders.js';
import { Secret } from '../secret.js';
import { filled } from './text.js';

/** A secret in openclaw.json: text, perhaps with `${NAME}` in it, or a SecretRef. */
export type SecretInput =
  | { readonly kind: 'text'; readonly text: Secret }
  | { readonly kind: 'ref'; readonly source: string | null; readonly id: string | null };

/** The part of openclaw.json's `gateway` section that says how to reach the gateway and with what secret. */
export interface GatewayConfig {
  readonly mode: string | null;
  readonly port: number | null;
  readonly bind: string | null;
  readonly authMode: string | null;
  readonly token: SecretInput | null;
  readonly password: SecretInput | null;
  readonly tls: boolean;
  readonly remoteUrl: string | null;
  readonly remoteToken: SecretInput | null;
  readonly remotePassword: SecretInput | null;
}

const Text = z.optional(z.string());
const secretInput = z.union([z.string(), z.looseObject({ source: Text, id: Text })]);
const Secrets = { token: z.optional(secretInput), password: z.optional(secretInput) };

const section = z.looseObject({
  mode: Text,
  port: z.optional(z.number()),
  bind: Text,
  auth: z.optional(z.looseObject({ mode: Text, ...Secrets })),
  tls: z.optional(z.looseObject({ enabled: z.optional(z.boolean()) })),
  remote: z.optional(z.looseObject({ url: Text, ...Secrets })),
});

/**
 * Reads the `gateway` value of a parsed openclaw.json. Absent is OpenClaw's defaults; null when it is there but cannot be
 * understood, so that a broken config is told and never taken for "no token".
 */
export function parseGatewayConfig(value: unknown): GatewayConfig | null {
  const parsed = section.safeParse(value ?? {});
  if (!parsed.success) return null;
  const { mode, port, bind, auth, tls, remote } = parsed.data;
  return {
    mode: mode ?? null,
    port: port !== undefined && isPort(port) ? port : null,
    bind: bind ?? null,
    authMode: auth?.mode ?? null,
    token: secretFrom(auth?.token),
    password: secretFrom(auth?.password),
    tls: tls?.enabled === true,
    remoteUrl: filled(remote?.url),
    remoteToken: secretFrom(remote?.token),
    remotePassword: secretFrom(remote?.password),
  };
}

function secretFrom(input: z.infer<typeof secretInput> | undefined): SecretInput | null {
  if (input === undefined) return null;
  if (typeof input !== 'string') return { kind: 'ref', source: input.source ?? null, id: input.id ?? null };
  const text = filled(input);
  return text === null ? null : { kind: 'text', text: new Secret(text) };
}

/**
 * The person's variables over those of `<stateDir>/.env`, as OpenClaw itself loads them. One that cannot be read, or is a pipe of
 * a password manager, adds nothing.
 */
export async function hostEnv(stateDir: string, env: Env): Promise<Env> {
  try {
    return { ...parseEnv(await readFile(join(stateDir, '.env'), 'utf8')), ...env };
  } catch {
    return env;
  }
}

/** OPENCLAW_GATEWAY_PORT (a number, or `host:number`), else the config's, else 18789 (3.28 and 5.7: `resolveGatewayPort`). */
export function gatewayPort(config: GatewayConfig, env: Env): number {
  const given = /^(?:[^:]+:|\[[^\]]+\]:)?(\d+)$/.exec(env.OPENCLAW_GATEWAY_PORT?.trim() ?? '')?.[1];
  const port = Number(given);
  return given !== undefined && isPort(port) ? port : (config.port ?? 18789);
}

function isPort(value: number): boolean {
  return Number.isInteger(value) && value > 0 && value < 65536;
}
