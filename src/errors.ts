/** Exit statuses, as DESIGN's table gives them; `75` is sysexits' EX_TEMPFAIL. */
export const EXIT = {
  ok: 0,
  bug: 1,
  usage: 2,
  whom: 3,
  login: 4,
  outside: 5,
  refused: 6,
  busy: 75,
  /** 128 + SIGINT, as shells expect of a command that Ctrl-C ended. */
  interrupted: 130,
} as const;

export type ExitStatus = (typeof EXIT)[keyof typeof EXIT];

/** Every error code and the exit status it ends the process with. A code that is not here does not compile. */
export const EXIT_OF = {
  BUG: EXIT.bug,

  USAGE: EXIT.usage,
  CHOICE_NEEDED: EXIT.usage,
  CONFIG_UNREADABLE: EXIT.usage,
  FAILOVER_NO_SESSIONS: EXIT.usage,

  IDENTITY_NOT_FOUND: EXIT.whom,
  IDENTITY_AMBIGUOUS: EXIT.whom,
  SESSION_NOT_FOUND: EXIT.whom,
  BACKUP_NOT_FOUND: EXIT.whom,
  AGENT_NOT_FOUND: EXIT.whom,
  NO_PREVIOUS: EXIT.whom,
  NOTHING_TO_UNDO: EXIT.whom,
  OWN_SLOT_NOT_FOUND: EXIT.whom,

  LOGIN_NOT_FOUND: EXIT.login,
  LOGIN_NEEDED: EXIT.login,
  LOGIN_DENIED: EXIT.login,
  LOGIN_EXPIRED: EXIT.login,
  LOGIN_USED: EXIT.login,

  KEYCHAIN_NO_BUS: EXIT.outside,
  KEYCHAIN_NO_SERVICE: EXIT.outside,
  KEYCHAIN_LIBRARY_MISSING: EXIT.outside,
  KEYCHAIN_LOCKED: EXIT.outside,
  KEYCHAIN_DENIED: EXIT.outside,
  KEYCHAIN_HUNG: EXIT.outside,
  KEYCHAIN_CRASHED: EXIT.outside,
  KEY_MISSING: EXIT.outside,
  KEY_WRONG: EXIT.outside,
  KEY_CHOICE_NEEDED: EXIT.outside,
  VAULT_MISSING: EXIT.outside,
  HOST_NOT_FOUND: EXIT.outside,
  HOST_UNREADABLE: EXIT.outside,
  HOST_NODE_TOO_OLD: EXIT.outside,
  GATEWAY_DENIED: EXIT.outside,
  REFRESH_FAILED: EXIT.outside,
  CODEX_NOT_FOUND: EXIT.outside,
  LOGIN_FAILED: EXIT.outside,
  REVOKE_FAILED: EXIT.outside,
  IO: EXIT.outside,

  VAULT_EXISTS: EXIT.refused,
  VAULT_DAMAGED: EXIT.refused,
  VAULT_NEWER: EXIT.refused,
  VAULT_PERMISSIONS: EXIT.refused,
  RECORD_DAMAGED: EXIT.refused,
  ARCHIVE_UNREADABLE: EXIT.refused,
  HOST_UNSUPPORTED: EXIT.refused,
  HOST_FOREIGN_OWNER: EXIT.refused,
  HOST_UNTRUSTED_WITH_GRANT: EXIT.refused,
  AGENTS_TIED: EXIT.refused,
  IDENTITY_UNREADABLE: EXIT.refused,
  IDENTITY_MISMATCH: EXIT.refused,
  IDENTITY_UNEXPECTED: EXIT.refused,
  ISSUER_FOREIGN: EXIT.refused,
  STATE_MISMATCH: EXIT.refused,
  CHAT_NOT_DIRECT: EXIT.refused,
  IDENTITY_IN_USE: EXIT.refused,
  IDENTITY_PARKED: EXIT.refused,
  FAILOVER_SCOPE: EXIT.refused,
  IN_OWN_SLOT: EXIT.refused,
  OWN_SLOT_SHARED: EXIT.refused,
  OWN_SLOTS_FULL: EXIT.refused,
  LENT: EXIT.refused,
  ONLY_HERE: EXIT.refused,
  HOST_OWNED: EXIT.refused,
  VAULT_ROLLED_BACK: EXIT.refused,
  LOGIN_DOUBTFUL: EXIT.refused,
  GRANT_NOT_NEWER: EXIT.refused,
  SLOT_FOREIGN: EXIT.refused,
  SLOT_UNREADABLE: EXIT.refused,
  PLATFORM_UNSUPPORTED: EXIT.refused,
  AGENT_REFUSED: EXIT.refused,

  BUSY: EXIT.busy,
  LOGIN_PENDING: EXIT.busy,
  SLOT_CHANGED: EXIT.busy,
  HOST_BUSY: EXIT.busy,
  REFRESH_UNANSWERED: EXIT.busy,

  INTERRUPTED: EXIT.interrupted,
} as const;

export type ErrorCode = keyof typeof EXIT_OF;

export interface RouterErrorDetails {
  /** The next command to type, or what to do; no trailing full stop. */
  hint?: string;
  /** For IDENTITY_AMBIGUOUS and IDENTITY_NOT_FOUND: whom the person may have meant. */
  candidates?: readonly ErrorCandidate[];
  cause?: unknown;
}

export interface ErrorCandidate {
  accountId: string;
  userId: string;
  alias: string | null;
  email: string | null;
  plan: string | null;
}

/**
 * The only error a person is meant to see: one lowercase sentence without a full stop, a stable code, and a next step.
 * Neither message nor hint ever holds a token; `cause` is for debugging and is never printed.
 */
export class RouterError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly candidates: readonly ErrorCandidate[] | undefined;

  constructor(code: ErrorCode, message: string, details: RouterErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'RouterError';
    this.code = code;
    this.hint = details.hint;
    this.candidates = details.candidates;
  }

  get exitCode(): number {
    return EXIT_OF[this.code];
  }
}

/** Narrows to a Node system error (`ENOENT`, `EACCES`, ...), or null when `error` is not one. */
export function systemErrorCode(error: unknown): string | null {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
  return null;
}
