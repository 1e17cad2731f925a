import type { Holding } from '../holding.js';

/** Seals a login durably and proves it by reading it back; throws when it could not. */
export type Seal = (holding: Holding) => Promise<void>;

/** Where `import` finds logins outside OpenClaw. `src/codex` implements it; `cli/compose` hands it in. */
export interface LoginSource {
  /** Bytes above which a text is no login and is not read. */
  readonly largest: number;

  /** The Codex home that the environment names. @throws LOGIN_NOT_FOUND when it names no folder. */
  home(): Promise<LoginHome>;

  /**
   * The login in a file that a person named.
   * @throws LOGIN_NOT_FOUND, IDENTITY_UNREADABLE, IDENTITY_MISMATCH, ISSUER_FOREIGN, USAGE, IO
   */
  readFile(path: string): Promise<Holding>;

  /** The login in a text. @param where its name in sentences. @throws as `readFile`. */
  parse(text: string, where: string): Holding;
}

/** The one login of a Codex home, and the way to take it over. */
export interface LoginHome {
  /** The folder, for sentences. */
  readonly folder: string;

  /** Whether `path` is this home's own login file, by any name. */
  isOwn(path: string): Promise<boolean>;

  /** The login, read without a lock; null when there is none. @throws as `LoginSource.readFile`. */
  read(): Promise<Holding | null>;

  /** Why `read` gave null, to throw. */
  absence(): Promise<Error>;

  /**
   * The login that an interrupted `take` left outside its place; null when there is none.
   * @throws as `LoginSource.readFile`; the file stays.
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
   * Moves the login out of the home: taken away under Codex's locks, sealed, only then removed. A crash leaves a left-over.
   * @param shown the login the person agreed to; `seal` gets what was really there, of the same identity.
   * @throws SLOT_CHANGED, HOST_BUSY nothing was taken; what `seal` throws, and says where the login is then.
   */
  take(shown: Holding, seal: Seal): Promise<void>;
}
