import type { Holding } from '../holding.js';
import type { Env } from '../os/folders.js';

/** What the tools' stores are read with. */
export interface ToolDeps {
  /** HOME, CODEX_HOME, XDG_DATA_HOME, OPENCLAW_STATE_DIR and the tools' own variables are read from it. */
  readonly env: Env;
  /** The login in the bytes of a Codex auth.json; `where` is its name in sentences. @throws RouterError with the reason */
  parseAuthJson(bytes: Uint8Array, where: string): Holding;
  /** The login that the Codex CLI runs on now; null when there is none. @throws RouterError when it cannot be read */
  live(): Promise<Holding | null>;
}

/** `Skipped`, `FoundLogin`, `FoundLogins` and `LoginStore` of the router's port, which documents every member. */
export interface Skipped {
  readonly from: string;
  readonly reason: string;
}

export interface FoundLogin {
  readonly holding: Holding;
  readonly from: string;
  readonly alias: string | null;
  readonly isActive?: boolean;
}

export interface FoundLogins {
  readonly logins: readonly FoundLogin[];
  readonly skipped: readonly Skipped[];
}

/** A reader under way: what it has met so far. */
export interface Finds {
  readonly logins: FoundLogin[];
  readonly skipped: Skipped[];
}

export function noFinds(): Finds {
  return { logins: [], skipped: [] };
}
