import * as z from 'zod';
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

const frameSchema = z.union([
  z.looseObject({ type: z.literal('event'), event: z.string() }),
  z.looseObject({
    type: z.literal('res'),
    id: z.string(),
    ok: z.boolean(),
    payload: z.unknown().optional(),
    error: z
      .looseObject({
        code: z.string().optional(),
        message: z.string().optional(),
        retryable: z.boolean().optional(),
        retryAfterMs: z.number().optional(),
        details: z.looseObject({ code: z.string().optional() }).optional().catch(undefined),
      })
      .optional(),
  }),
]);

const helloSchema = z.looseObject({
  type: z.literal('hello-ok'),
  server: z.looseObject({ version: z.string().optional() }).optional(),
  features: z.looseObject({ methods: z.array(z.string()).optional() }).optional(),
  snapshot: z.looseObject({ stateDir: z.string().optional() }).optional(),
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
