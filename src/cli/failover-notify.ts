import type { FailoverReason, FailoverStatus } from '../failover.js';
import { runBounded } from '../os/bounded-child.js';
import { type Env, homeFolder } from '../os/folders.js';
import type { FailoverNotify } from '../router/failover-settings.js';

/** What somebody is told of, wherever they are. Who and where are masks, or a person's own aliases. */
export interface Notice {
  readonly kind:
    | 'switched'
    | 'would-switch'
    | 'nobody-better'
    | 'switch-failed'
    | 'session-missing'
    | 'rounds-fail'
    | 'recovered';
  /** ms epoch */
  readonly at: number;
  readonly apply: boolean;
  /** One sentence that says it all. */
  readonly text: string;
  readonly slot: string | null;
  readonly sessions: readonly string[];
  readonly from: string | null;
  readonly to: string | null;
  readonly reason: FailoverReason | null;
  readonly status: FailoverStatus | null;
  /** An error's. */
  readonly code: string | null;
}

export interface NotifyPorts {
  /** Both: null when it was done, else why not; never throw. */
  command(argv: readonly [string, ...string[]], input: string): Promise<string | null>;
  message(to: NonNullable<FailoverNotify['message']>, text: string): Promise<string | null>;
}

/** The ways in which somebody is told, by name. */
export type NotifyWay = 'command' | 'message';

export function waysOf(notify: FailoverNotify | null): readonly NotifyWay[] {
  return (['command', 'message'] as const).filter((way) => notify?.[way] !== undefined);
}

export interface Notifier {
  /** Tells it in each way that is set; bounded, and never throws. */
  send(notice: Notice, notify: FailoverNotify | null): Promise<void>;
}

/**
 * @param failed hears of a way that does not work, once until it has worked again
 */
export function notifier(
  ports: NotifyPorts,
  failed: (way: NotifyWay, why: string) => void | Promise<void>,
): Notifier {
  const broken = new Set<NotifyWay>();
  const note = async (way: NotifyWay, why: string | null): Promise<void> => {
    if (why === null) {
      broken.delete(way);
      return;
    }
    if (broken.has(way)) return;
    broken.add(way);
    await failed(way, why);
  };
  return {
    async send(notice, notify) {
      const [program, ...args] = notify?.command ?? [];
      if (program !== undefined) {
        const input = `${JSON.stringify({ schemaVersion: 1, ...notice })}\n`;
        await note('command', await ports.command([program, ...args], input));
      }
      if (notify?.message !== undefined) {
        await note('message', await ports.message(notify.message, `codex-router: ${notice.text}`));
      }
    },
  };
}

/** ms */
const COMMAND_MS = 10_000;

/** What a person's own program may need of the environment; no name here is one that a secret is kept under. */
const KEPT =
  /^(?:PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_[A-Z]+|TZ|TMPDIR|TERM|DISPLAY|WAYLAND_DISPLAY|XDG_(?:RUNTIME_DIR|CONFIG_HOME|DATA_HOME|STATE_HOME|CACHE_HOME)|DBUS_SESSION_BUS_ADDRESS|SystemRoot|USERPROFILE|APPDATA|LOCALAPPDATA|TEMP|TMP|PATHEXT)$/;

/** Runs the person's own command: no shell, the notice on its standard input, ten seconds. */
export function commandPort(env: Env, timeoutMs = COMMAND_MS): NotifyPorts['command'] {
  const kept = Object.fromEntries(Object.entries(env).filter(([name]) => KEPT.test(name)));
  return async (argv, input) => {
    const why = await runBounded({ argv, env: kept, cwd: homeFolder(env), input, timeoutMs });
    return why === null ? null : `the notification command ${why}`;
  };
}
