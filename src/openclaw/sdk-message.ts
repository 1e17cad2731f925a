import type { Holding } from '../holding.js';
import { parseAccountId, parseUserId } from '../identity.js';
import type { JsonObject } from '../json.js';
import { Secret } from '../secret.js';
import type { PinOutcome } from '../slot/pins.js';
import type { Choice } from '../slot/slot.js';
import type { StoreShape } from './store-document.js';

/** What the helper is asked, one JSON line each on its stdin. The tokens in them go through this pipe and nowhere else. */
export type SdkRequest =
  | { readonly op: 'read'; readonly agentDir: string | null }
  | {
      readonly op: 'replace';
      readonly agentDir: string | null;
      readonly shape: StoreShape;
      readonly expect: string;
      readonly put: SentHolding | null | 'keep';
      readonly takeOut: readonly string[];
      readonly beside?: readonly { readonly profileId: string; readonly holding: SentHolding }[];
      readonly choose?: Choice;
      readonly wake?: boolean;
      /** ms epoch */
      readonly now: number;
    }
  | { readonly op: 'sessions'; readonly agent: string }
  | {
      readonly op: 'pin';
      readonly agent: string;
      readonly keys: readonly string[];
      readonly profileId: string | null;
    };

/** The first line: which OpenClaw, and how many ms a request may take before the helper ends itself. */
export interface SdkOpening {
  readonly packageRoot: string;
  readonly deadline: number;
}

/**
 * What went wrong, where the helper can tell: `import`, OpenClaw's modules cannot be loaded; `missing`, they lack a function;
 * `busy`, its store was locked; `refused`, it does not read its own store; `write`, it began to write and failed.
 */
export type SdkTrouble = 'import' | 'missing' | 'busy' | 'refused' | 'write';

/** One JSON line each on the helper's descriptor 3; what OpenClaw itself prints goes nowhere. */
export type SdkAnswer =
  | { readonly stage: 'store'; readonly store: JsonObject }
  /** The slot is not as the change expected; nothing was written. */
  | { readonly stage: 'changed' }
  | { readonly stage: 'sessions'; readonly entries: readonly SentSession[] }
  | { readonly stage: 'pinned'; readonly outcomes: readonly PinOutcome[] }
  /** `what`: the name of a function or of an error's kind, never its text. */
  | { readonly stage: 'failed'; readonly trouble: SdkTrouble; readonly what: string };

export interface SentSession {
  readonly key: string;
  /** Only the fields that `parseSessionEntry` looks at. */
  readonly entry: JsonObject;
}

/** A holding whose tokens are shown, for the pipe; without what a host's entry does not hold. */
export interface SentHolding {
  readonly accountId: string;
  readonly userId: string;
  readonly email: string | null;
  readonly plan: string | null;
  readonly access: string;
  readonly refresh: string;
  readonly expiresAt: number;
  readonly hostFields: JsonObject;
  readonly selection: JsonObject | null;
}

export function encodeHolding({ identity, grant, hostFields, selection }: Holding): SentHolding {
  const { accountId, userId, email, plan } = identity;
  return {
    accountId,
    userId,
    email,
    plan,
    access: grant.accessToken.reveal(),
    refresh: grant.refreshToken.reveal(),
    expiresAt: grant.expiresAt,
    hostFields,
    selection,
  };
}

export function decodeHolding(sent: SentHolding): Holding {
  return {
    identity: {
      accountId: parseAccountId(sent.accountId),
      userId: parseUserId(sent.userId),
      email: sent.email,
      plan: sent.plan,
      workspace: null,
    },
    grant: {
      accessToken: new Secret(sent.access),
      refreshToken: new Secret(sent.refresh),
      idToken: null,
      expiresAt: sent.expiresAt,
      lastRefresh: null,
      provenance: null,
    },
    hostFields: sent.hostFields,
    selection: sent.selection,
  };
}
