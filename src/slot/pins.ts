/** The fields of a host's session entry that the pin and the companion rule look at; everything else stays in the store. */
export interface SessionEntry {
  readonly key: string;
  /** ms epoch; 0 when the entry does not say. */
  readonly updatedAt: number;
  /** OpenClaw's `authProfileOverride`; null when the session is not pinned. */
  readonly pinnedTo: string | null;
  readonly pinSource: string | null;
  readonly channel: string | null;
  /** `origin.from`: the sender, on a slash entry. */
  readonly from: string | null;
  readonly to: string | null;
  readonly accountId: string | null;
  /** `origin.nativeChannelId`: the channel's own id of the conversation; left out where the entry does not say. */
  readonly nativeChat?: string;
  readonly spawnedBy: string | null;
  /** Of the conversation that the key names now; left out where the entry does not say. */
  readonly sessionId?: string;
}

export type PinResult = 'set' | 'already' | 'gone' | 'pending';

export interface PinOutcome {
  readonly key: string;
  readonly was: string | null;
  readonly is: string | null;
  readonly result: PinResult;
  /** Why a pin is `pending`, and what to do, where the store says so itself. */
  readonly why?: string;
  /** How often `keep` found it written over by the host and put it back; left out for never. */
  readonly repaired?: number;
}

export interface SessionSurvey {
  readonly entries: readonly SessionEntry[];
  readonly unread: number;
}

/** The session store of one agent. Every host layout implements this port. */
export interface Pins {
  readonly agent: string;

  /**
   * All entries, unsorted. A store that does not exist reads as empty.
   * @throws HOST_UNREADABLE when the store cannot be understood.
   */
  read(): Promise<readonly SessionEntry[]>;

  /**
   * What a switch looks at, where a store can be read in part: the entry of `key`, the most recently active ones and every slash
   * entry; a whole store where it cannot. `unread` counts the others.
   * @param key a full key, or one without its agent; null when none is meant.
   * @throws HOST_UNREADABLE as `read`.
   */
  survey(key: string | null): Promise<SessionSurvey>;

  /**
   * Points each existing entry at `profileId` (null: takes the pin off), as a person's own choice, touching nothing else;
   * re-reads to prove it. An entry that vanished is `gone`, one that already was so is `already`; none is ever created.
   */
  set(keys: readonly string[], profileId: string | null): Promise<readonly PinOutcome[]>;

  /**
   * Only where the host can write an older copy over what `set` wrote. For a while after a `set` of the same object (a host at
   * work: 2 s; none: no time at all), puts back what was written over, and gives the outcomes as they are then; what
   * someone has chosen otherwise meanwhile is left and `pending` with why. May run beside that of other agents.
   */
  keep?(outcomes: readonly PinOutcome[], profileId: string | null): Promise<readonly PinOutcome[]>;
}
