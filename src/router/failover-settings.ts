/** When and where failover acts. All times are ms, all percentages what is left (0 to 100). */
export interface FailoverSettings {
  /** Session keys; empty: none, and then a command has to name them. */
  readonly sessions: readonly string[];
  /** Selectors of the identities that may be taken, best first; empty: every stored one, and the one with the most left. */
  readonly order: readonly string[];
  /** At this much or less the current one is to be left. */
  readonly thresholdPercent: { readonly fiveHour: number; readonly weekly: number };
  /** How much more than the threshold must be left of each window of who is taken. */
  readonly hysteresisPercent: number;
  /** The least time on one identity. */
  readonly dwellMs: number;
  /** How long, after the dwell of who came in its place, one that was left is not taken again. */
  readonly restMs: number;
  /** No concerned session may have been active for so long. */
  readonly quietMs: number;
  readonly maxSwitchesPerHour: number;
  /** Failed reads in a row before one is left for them. */
  readonly hardFailures: number;
  /** Good reads in a row before one that failed or was left is taken again. */
  readonly goodReads: number;
  readonly intervalMs: number;
  /** Null: nobody is told. */
  readonly notify: FailoverNotify | null;
}

export interface FailoverNotify {
  /** The program and its arguments, run without a shell. */
  readonly command?: readonly string[];
  readonly message?: { readonly channel: string; readonly target: string };
}

export const FAILOVER_DEFAULTS: FailoverSettings = {
  sessions: [],
  order: [],
  thresholdPercent: { fiveHour: 10, weekly: 5 },
  hysteresisPercent: 15,
  dwellMs: 30 * 60_000,
  restMs: 30 * 60_000,
  quietMs: 120_000,
  maxSwitchesPerHour: 2,
  hardFailures: 2,
  goodReads: 2,
  intervalMs: 300_000,
  notify: null,
};

/** The numbers of `config.json`, in the units they have there, and how far each may go. Whole numbers all. */
export const FAILOVER_RANGES = {
  hysteresisPercent: { least: 0, most: 90 },
  dwellMinutes: { least: 1, most: 1440 },
  restMinutes: { least: 1, most: 1440 },
  quietSeconds: { least: 10, most: 3600 },
  maxSwitchesPerHour: { least: 1, most: 12 },
  hardFailures: { least: 2, most: 10 },
  goodReads: { least: 1, most: 10 },
  intervalSeconds: { least: 60, most: 86_400 },
} as const;

/** A threshold of either window. */
export const THRESHOLD_RANGE = { least: 0, most: 90 } as const;
