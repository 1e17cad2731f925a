/** What can be wrong with the files of a host; stable for programs. */
export const TROUBLE_CODES = [
  'LOCK_FOLDER',
  'LOCK_LEFT',
  'LOCK_HELD',
  'FILE_OPEN',
  'FILE_FOREIGN',
  'FILE_LINKED',
  'STORE_LEFT',
  'LOGIN_COPIES',
  'TEMPORARY_LEFT',
  'CODEX_OVERWRITES',
  'NOT_LOOKED_AT',
] as const;

export type TroubleCode = (typeof TROUBLE_CODES)[number];

/** Something in a host's folders that is not as it should be. No token in it, and nothing of who is routed. */
export interface HostTrouble {
  readonly code: TroubleCode;
  readonly part: 'lock' | 'permissions' | 'leftover' | 'slot';
  /** Whether a login can be lost or spent twice, or read by somebody else, if nothing is done. */
  readonly danger: boolean;
  /** One sentence without a full stop; it names the path. */
  readonly text: string;
  /** What a person can do, as a command where there is one; null where nothing need be done. */
  readonly remedy: string | null;
  /** Null where nothing is safe to do without the person. */
  readonly mend: TroubleMend | null;
}

export interface TroubleMend {
  /** What it would do, in the words of an order. */
  readonly does: string;
  /**
   * Looks again, keeps what it is about to change, and changes that one thing.
   * @param keep is given what stood there before it is changed, and gives the id it is kept by.
   * @throws RouterError when it is not as it was found any more, or cannot be changed: then nothing was.
   */
  carryOut(keep: (before: FileAsFound) => Promise<string>): Promise<TroubleMended>;
}

/** A file as it stood before a mend. */
export interface FileAsFound {
  readonly path: string;
  /** Permission bits. */
  readonly mode: number;
  /** Null where its content is not what changes. */
  readonly bytes: Uint8Array | null;
  /** The permission bits that it is given; left out where its content is what changes. */
  readonly nextMode?: number;
}

export interface TroubleMended {
  /** What was changed: a sentence without a full stop. */
  readonly text: string;
  /** By which id it is kept; null where there is nothing to go back to. */
  readonly kept: string | null;
}
