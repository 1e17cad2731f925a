import type { Grant } from './grant.js';
import type { Identity } from './identity.js';
import type { JsonObject } from './json.js';

/** Everything that belongs to one identity and moves with it, between the repo and a slot. */
export interface Holding {
  readonly identity: Identity;
  readonly grant: Grant;
  /** Fields of the host's entry that codex-router does not interpret; they leave and return with their identity. */
  readonly hostFields: JsonObject;
  /** The host's cooldown and error statistics for the entry (OpenClaw's `usageStats[profileId]`); null when it has none. */
  readonly selection: JsonObject | null;
}
