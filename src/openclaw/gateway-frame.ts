import * as z from 'zod/mini';
import { GatewayFailure } from './gateway-failure.js';

/** What a gateway says of itself when it lets a client in (`hello-ok`). */
export interface Hello {
  /** The release that runs, which an update may have left behind the installed one. */
  readonly version: string | null;
  /** The RPC methods it serves; empty when it does not say. */
  readonly methods: ReadonlySet<string>;
  /** Its state directory; told to `operator.admin` only (5.7; not 3.28). */
  readonly stateDir: string | null;
}

export type Answer =
  | { readonly ok: true; readonly payload: unknown }
  | { readonly ok: false; readonly refusal: Refusal };

export interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly detailCode: string | null;
  readonly retryAfterMs: number | null;
}

const Text = z.optional(z.string());

const frameSchema = z.union([
  z.looseObject({ type: z.literal('event'), event: z.string() }),
  z.looseObject({
    type: z.literal('res'),
    id: z.string(),
    ok: z.boolean(),
    payload: z.optional(z.unknown()),
    error: z.optional(
      z.looseObject({
        code: Text,
        message: Text,
        retryable: z.optional(z.boolean()),
        retryAfterMs: z.optional(z.number()),
        details: z.catch(z.optional(z.looseObject({ code: Text })), undefined),
      }),
    ),
  }),
]);

const helloSchema = z.looseObject({
  type: z.literal('hello-ok'),
  server: z.optional(z.looseObject({ version: Text })),
  features: z.optional(z.looseObject({ methods: z.optional(z.array(z.string())) })),
  snapshot: z.optional(z.looseObject({ stateDir: Text })),
});

export type Frame = z.infer<typeof frameSchema>;

/** Null for text that is no frame of OpenClaw's protocol, or of a kind not known here. */
export function parseFrame(text: string): Frame | null {
  try {
    const parsed = frameSchema.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

export function answerOf(frame: Extract<Frame, { type: 'res' }>): Answer {
  if (frame.ok) return { ok: true, payload: frame.payload };
  const { error } = frame;
  return {
    ok: false,
    refusal: {
      code: error?.code ?? '',
      message: error?.message ?? '',
      detailCode: error?.details?.code ?? null,
      retryAfterMs:
        error?.retryable === true ? Math.min(Math.max(error.retryAfterMs ?? 500, 50), 2000) : null,
    },
  };
}

/** @throws GatewayFailure `unknown` for anything but a `hello-ok`. */
export function parseHello(payload: unknown): Hello {
  const parsed = helloSchema.safeParse(payload);
  if (!parsed.success) throw new GatewayFailure('unknown');
  const { server, features, snapshot } = parsed.data;
  return {
    version: server?.version ?? null,
    methods: new Set(features?.methods ?? []),
    stateDir: snapshot?.stateDir ?? null,
  };
}
