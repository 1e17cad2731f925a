import type { Holding } from '../holding.js';
import type { Doubt, Source } from '../repo/repo.js';

/** Seals a login durably and proves it by reading it back; throws when it could not. */
export type Seal = (holding: Holding) => Promise<void>;

/** What was met and cannot be imported. */
export interface Skipped {
  readonly from: string;
  readonly reason: string;
}

/** A login that another program keeps. */
export interface FoundLogin {
  readonly holding: Holding;
  /** Where it was found, in words. */
  readonly from: string;
  /** What that program calls it, as it stands there; null when it has no name. */
  readonly alias: string | null;
  /** Whether that program runs on it now; absent where it does not say. */
  readonly isActive?: boolean;
  /** Why it may not work any more, where that is known; for a login that is stored already it changes nothing. */
  readonly doubt?: Doubt;
}

export interface FoundLogins {
  readonly logins: readonly FoundLogin[];
  readonly skipped: readonly Skipped[];
}

/** The store of another tool that keeps several Codex logins. `src/tools` implements it; `cli/compose` hands it in. */
export interface LoginStore {
  /** Also what a person types after `--from`. */
  readonly source: Source;
  /** The tool's name in sentences. */
  readonly title: string;

  /**
   * Every login in it. Reads only: takes no lock, refreshes nothing, leaves the tool's copy where it is.
   * @param path where it lies; null for the tool's own place.
   * @throws LOGIN_NOT_FOUND when there is no such store; IDENTITY_UNREADABLE when it cannot be understood as a whole; USAGE, IO.
   *   One login that cannot be understood is `skipped`.
   */
  find(path: string | null): Promise<FoundLogins>;
}

/** An encrypted file that `codex-router export` made. `cli/compose` hands it in. */
export interface LoginArchive {
  /** Bytes above which a file is no archive and is not read. */
  readonly largest: number;

  /** Whether bytes begin as an age file does, in text or in binary. */
  isArchive(bytes: Uint8Array): boolean;

  /** Asks for what opens it. @param from its name in sentences. @throws ARCHIVE_UNREADABLE, KEY_WRONG, INTERRUPTED */
  open(bytes: Uint8Array, from: string): Promise<FoundLogins>;
}

/** Where `import` finds single logins. `src/codex` implements it; `cli/compose` hands it in. */
export interface LoginSource {
  /** Bytes above which a text is no login. */
  readonly largest: number;

  /**
   * The Codex home that the environment names.
   * @param store looks in that store only: its auth.json, the system keyring, what is age-encrypted; left out: in all it uses.
   * @throws LOGIN_NOT_FOUND when it names no folder.
   */
  home(store?: 'file' | 'keyring' | 'age'): Promise<LoginHome>;

  /** A file that a person named. @throws LOGIN_NOT_FOUND when there is none; USAGE past `limit` bytes, or for what is no file; IO */
  readFile(path: string, limit: number): Promise<Uint8Array>;

  /**
   * The login in the bytes of an auth.json.
   * @param where its name in sentences.
   * @throws LOGIN_NOT_FOUND, IDENTITY_UNREADABLE, IDENTITY_MISMATCH, ISSUER_FOREIGN, USAGE
   */
  parse(bytes: Uint8Array, where: string): Holding;
}

/** The one login of a Codex home, in whichever of its stores, and the way to take it over. */
export interface LoginHome {
  /** The folder, for sentences. */
  readonly folder: string;

  /** Whether `path` is this home's own login file, by any name. */
  isOwn(path: string): Promise<boolean>;

  /**
   * The login, read without a lock; null when there is none.
   * @throws as `LoginSource.parse`; KEYCHAIN_* when it lies in a keyring that cannot be read.
   */
  read(): Promise<Holding | null>;

  /** Why `read` gave null, to throw. */
  absence(): Promise<Error>;

  /**
   * The login that an interrupted `take` left outside its place; null when there is none.
   * @throws as `LoginSource.parse`; the file stays.
   */
  readLeftover(): Promise<Holding | null>;

  /** Seals the left-over login, then removes it. */
  resume(seal: Seal): Promise<void>;

  /**
   * Says what speaks against taking the login, before anything is written or asked.
   * @throws PLATFORM_UNSUPPORTED, HOST_FOREIGN_OWNER; CHOICE_NEEDED when taking would destroy another credential.
   */
  admitTaking(): Promise<void>;

  /**
   * Moves the login out of the home: taken away under Codex's locks, sealed, only then removed. A crash leaves a left-over, or
   * the login where it was.
   * @param shown the login the person agreed to; `seal` gets what was really there, of the same identity.
   * @throws SLOT_CHANGED, HOST_BUSY nothing was taken; what `seal` throws, and says where the login is then.
   */
  take(shown: Holding, seal: Seal): Promise<void>;
}
