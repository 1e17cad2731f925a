import { RouterError } from '../errors.js';
import { requireReplacing } from '../os/platform.js';
import { failoverStateIn } from '../repo/failover-state.js';
import type { OpenRepo } from '../repo/repo.js';
import type { RoundAnswer, RoundMode } from '../router/failover-plan.js';
import { fileMemory, processMemory, type RoundMemory, seenMemory } from '../router/failover-remembered.js';
import { failoverRound } from '../router/failover-round.js';
import { type UsagePace, usagePace } from '../router/usage-pace.js';
import { writeDeps } from './adapt.js';
import type { Cli } from './cli.js';
import { compose, type Parts, pause } from './compose.js';
import type { HostOptions } from './options.js';
import { readSettings } from './settings.js';

export { noSessions } from '../router/failover-sessions.js';

/** What every command says of the sessions it looks after. */
export interface RoundOptions extends HostOptions {
  readonly session?: readonly string[];
  readonly sharedSlot?: boolean;
  readonly ownSlot?: boolean;
}

/** @throws USAGE */
export function modeOf({ sharedSlot, ownSlot }: RoundOptions): RoundMode {
  if (sharedSlot && ownSlot) {
    throw new RouterError('USAGE', '--shared-slot and --own-slot exclude each other', {
      hint: 'codex-router failover --help',
    });
  }
  return sharedSlot ? 'shared' : ownSlot ? 'own' : 'named';
}

/**
 * What a round remembers by. `seen`: what the file says, and nothing is kept; `process`: the same to begin with, and kept as long as this
 * runs; `file`: kept in the file, and a recommended switch is made.
 */
export type MemoryKind = 'seen' | 'process' | 'file';

export interface Rounds {
  /** Everything is found anew each time, but for the vault: that is opened once. @throws as `failoverRound` */
  round(): Promise<RoundAnswer>;
  /** Of the last round, or of the first one to come. */
  parts(): Parts;
}

/**
 * Rounds for these options; those that make the switch they recommend are the ones with `file`.
 * @param pacedMs the rest between rounds, where there are several: who is to be left in peace is not asked in each
 */
export function roundFor(
  cli: Cli,
  options: RoundOptions,
  kind: MemoryKind,
  { pacedMs = null }: { readonly pacedMs?: number | null } = {},
): Rounds {
  const mode = modeOf(options);
  const apply = kind === 'file';
  if (apply) requireReplacing(cli.platform);
  const pace = pacedMs === null ? null : usagePace(pacedMs, cli.now);
  let opening: Promise<OpenRepo> | null = null;
  let own: RoundMemory | null = null;
  let parts = compose(cli, options);
  let isFirst = true;
  return {
    parts: () => parts,
    round: async () => {
      if (!isFirst) parts = compose(cli, options);
      isFirst = false;
      const { open } = parts.repo;
      const settings = (await readSettings(parts.folders.config)).failover;
      const state = failoverStateIn(parts.folders.data);
      const withLock = lockOf(cli, parts);
      own ??= kind === 'process' ? processMemory(state, cli.now) : null;
      const memory = own ?? (apply ? fileMemory(state, cli.now, withLock) : seenMemory(state, cli.now));
      const opened = () => {
        opening ??= open().catch((error: unknown) => {
          // Another try may ask a person again, who may have unlocked it meanwhile.
          opening = null;
          throw error;
        });
        return opening;
      };
      try {
        const host = await parts.host();
        return await failoverRound(
          { ...depsOf(cli, parts, pace), host, withLock, open: opened, settings, memory },
          { sessions: options.session ?? [], mode, apply },
        );
      } finally {
        // A keychain that is still to answer must not keep an interrupted command from ending.
        if (cli.interruption.signal.aborted) parts.repoDeps.keychain.close();
      }
    },
  };
}

/** Who has pressed Ctrl-C waits for nobody. */
function lockOf({ interruption: { signal } }: Cli, parts: Parts) {
  return <T>(work: () => Promise<T>, waitMs?: number): Promise<T> => parts.withLock(work, waitMs, signal);
}

function depsOf(cli: Cli, parts: Parts, pace: UsagePace | null) {
  const { repo, journal, hostAt, outside, endpoint, usage, codexHomes } = parts;
  const { signal } = cli.interruption;
  return {
    ...writeDeps(cli, parts),
    repo,
    journal,
    hostAt,
    outside,
    endpoint,
    pause,
    env: cli.env,
    source: usage,
    homes: codexHomes,
    ...(pace !== null && { pace }),
    withGrantLock: <T>(...[who, work, waitMs]: Parameters<typeof parts.withGrantLock<T>>): Promise<T> =>
      parts.withGrantLock(who, work, waitMs, signal),
  };
}
