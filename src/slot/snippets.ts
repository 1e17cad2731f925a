/** What a snippet sets up in the host. */
export const SNIPPET_KINDS = ['order', 'fallbacks', 'cron'] as const;
export type SnippetKind = (typeof SNIPPET_KINDS)[number];

/** What a person wants in the snippets, beside what the release decides. */
export interface SnippetWishes {
  /** Null for the agent that the host itself takes. */
  readonly agent: string | null;
  /** The models that stand in, best first; never empty. */
  readonly models: readonly string[];
  /** The command line that looks and changes nothing, and the one that the host's scheduler runs itself. */
  readonly check: readonly string[];
  readonly once: readonly string[];
}

/** Commands of the host's own that a person runs in a shell. */
export interface Snippet {
  readonly kind: SnippetKind;
  readonly title: string;
  /** Words, not yet quoted for a shell. */
  readonly commands: readonly (readonly string[])[];
  /** Takes it back. */
  readonly undo: string;
  readonly notes: readonly string[];
  /** Who runs codex-router: the host's scheduler, or an agent that it starts; null where nobody does. */
  readonly runs: 'scheduler' | 'agent' | null;
}

/** The snippets of one host. */
export interface HostSnippets {
  /** The release found; null when none was. */
  readonly release: string | null;
  /** The release that the snippets are written for: the one found, else the newest known one that fits. */
  readonly writtenFor: string;
  /** Why they are not written for the release found; null when they are. */
  readonly doubt: string | null;
  readonly snippets: readonly Snippet[];
}
