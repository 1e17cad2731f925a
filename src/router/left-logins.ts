import type { Holding } from '../holding.js';

/** What an `add` was asked for; it lies beside the login that is being made. */
export interface Wanted {
  readonly alias: string | null;
  /** An accountId or `accountId/userId`; null for anybody's. */
  readonly expect: string | null;
}

/** A throw-away Codex home that an `add` did not remove. */
export interface LeftLogin {
  readonly folder: string;
  readonly wanted: Wanted;
  /**
   * `running`: whoever made it, or the Codex in it, still runs or may do so. `empty`: no login was made. `login`: a whole one lies in
   * it, and nowhere else. `unreadable`: something does that is not understood, see `trouble`.
   */
  readonly state: 'running' | 'empty' | 'login' | 'unreadable';
  /** Set where `state` is `login`. */
  readonly holding: Holding | null;
  /** Why it is `unreadable`, in words without a token; else null. */
  readonly trouble: string | null;
  /** Deletes the login durably, then the rest of the folder. */
  remove(): Promise<void>;
}

/** How the Codex that was run in a throw-away home ended. */
export interface CodexEnd {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export type LoginFlow = 'device' | 'browser';

/** A throw-away Codex home of this process. */
export interface IsolatedLogin {
  readonly folder: string;
  /**
   * Runs `codex login` in it; what it prints goes to our stderr. `signal` ends it.
   * @throws CODEX_NOT_FOUND when it cannot be started
   */
  run(flow: LoginFlow, signal: AbortSignal): Promise<CodexEnd>;
  /** Remembers that Codex has ended well and left no login here, so that the home is not taken for an empty one. @throws IO */
  markElsewhere(): Promise<void>;
  /** How the home is now, whoever made it left aside. */
  look(): Promise<LeftLogin>;
}

/** Logins that the person's own Codex CLI makes in throw-away homes. `src/codex` implements it; `cli/compose` hands it in. */
export interface IsolatedLogins {
  /** Whether anything may be left; a glance that reads no login. */
  mayBeLeft(): Promise<boolean>;
  /** What earlier ones left, the oldest first. Reads only. @throws IO */
  left(): Promise<readonly LeftLogin[]>;
  /** The `codex` that will be run. @param named by the person; null for the one on PATH. @throws CODEX_NOT_FOUND */
  findCodex(named: string | null): Promise<CodexProgram>;
  /** Makes a home that belongs to this process as long as it lives. @throws IO */
  begin(codex: CodexProgram, wanted: Wanted): Promise<IsolatedLogin>;
  /** How a person without a word on it will log in best: `device` where no browser can be opened. */
  readonly usualFlow: LoginFlow;
}

/** What is spawned. */
export interface CodexProgram {
  readonly file: string;
  readonly args: readonly string[];
}
