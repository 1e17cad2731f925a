import type { OpenRepo, RepoView } from '../../repo/repo.js';
import type { ImportOptions as Decision } from '../../router/import.js';
import type { LoginArchive, LoginSource, LoginStore } from '../../router/import-source.js';
import type { Host } from '../../slot/host.js';
import type { ArchiveOptions } from '../archive-keys.js';
import type { ImportDocument } from '../documents.js';
import type { HostOptions, KeyOptions } from '../options.js';
import type { Choice } from '../terminal.js';
import { importFrom } from './import-sources.js';
import { showImport } from './import-text.js';

export interface ImportOptions extends HostOptions, KeyOptions, ArchiveOptions {
  /**
   * `codex`, `openclaw`, another tool's name, `-` for standard input, or a file; absent for the Codex home, or for standard input
   * where it is piped.
   */
  readonly from?: string;
  /** Where that tool's store lies. */
  readonly path?: string;
  readonly alias?: string;
  readonly expect?: string;
  readonly take?: boolean;
  readonly keep?: boolean;
  readonly replace?: boolean;
  readonly dryRun?: boolean;
}

/** What `import` needs of the command line and of the parts that compose hands in. */
export interface ImportParts {
  readonly canAsk: boolean;
  readonly stdinIsTerminal: boolean;
  /**
   * All of stdin.
   * @param patience ms to wait for the first byte; nothing when none came, and stdin is let go. Null waits for ever.
   * @throws USAGE past `limit` bytes.
   */
  readStdin(limit: number, patience: number | null): Promise<Uint8Array>;
  ask<T extends string>(question: string, choices: readonly Choice<T>[]): Promise<T>;
  say(line: string): void;
  print(document: ImportDocument, text: () => string): void;
  readonly json: boolean;
  readonly logins: LoginSource;
  /** The stores of other tools. */
  stores(): Promise<readonly LoginStore[]>;
  archive(): Promise<LoginArchive>;
  /** Opens the vault, or makes it. */
  openRepo(): Promise<OpenRepo>;
  /** For a dry run: as it is, and empty where there is no vault; makes none. */
  viewRepo(): Promise<RepoView>;
  host(): Promise<Host>;
  /** Holds the router's lock around `work`; never called around a question. */
  withLock<T>(work: () => Promise<T>): Promise<T>;
  /** Lets `work` end although a signal arrives. */
  critical<T>(work: () => Promise<T>): Promise<T>;
  now(): number;
}

/** `codex-router import` */
export async function importLogins(parts: ImportParts, options: ImportOptions): Promise<void> {
  const decision: Decision = {
    alias: options.alias ?? null,
    expect: options.expect ?? null,
    replace: options.replace ?? false,
  };
  const { outcome, entries } = await importFrom(parts, decision, options);
  showImport(parts, outcome, entries, options.dryRun ?? false);
}
