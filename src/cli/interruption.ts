/** ms after which a person wonders whether the key was heard. */
const LONG = 1000;

/** SIGHUP's number. */
const HANG_UP = 1;

/** What Ctrl-C does: at once where nothing is half-done, after the step where something would be. */
export interface Interruption {
  /** Aborted at the first signal; prompts and waits listen to it. */
  readonly signal: AbortSignal;
  /** 128 plus the number of the signal that came last; null while none has. */
  readonly status: number | null;
  /** Runs to its end although a signal arrives; then ends the process. A second signal ends it at once. */
  critical<T>(work: () => Promise<T>): Promise<T>;
}

/**
 * Installs handlers for SIGINT, SIGTERM and SIGHUP; the exit status is 128 plus the signal's number, as shells expect.
 * @param leave ends the process with that status.
 * @param say tells the person, or the program, before the process ends; `finished` when something begun was completed first.
 *   False when the command has answered already: then it is let end with its own status.
 * @param onFinishing heard when what had been begun still takes its time a second after the signal.
 */
export function watchInterruptions(
  proc: NodeJS.Process,
  say: (finished: boolean) => boolean,
  onFinishing: () => void,
  leave: (status: number) => void,
): Interruption {
  const controller = new AbortController();
  let depth = 0;
  let status: number | null = null;
  const end = (code: number, finished: boolean): void => {
    // `exit` listeners still run: they remove the host's lock files.
    if (say(finished)) leave(code);
  };
  const receive = (number: number) => () => {
    // The end of a terminal is heard twice, as a signal and on its streams; it is no impatience.
    const second = status !== null && number !== HANG_UP;
    status = 128 + number;
    controller.abort();
    if (depth === 0 || second) end(status, false);
    if (second) leave(status);
    if (depth > 0) setTimeout(() => depth > 0 && onFinishing(), LONG).unref();
  };
  proc.on('SIGINT', receive(2));
  proc.on('SIGTERM', receive(15));
  proc.on('SIGHUP', receive(HANG_UP));
  return {
    signal: controller.signal,
    get status() {
      return status;
    },
    async critical(work) {
      // A signal that came while files were read is heard before anything is begun.
      await new Promise((heard) => setImmediate(heard));
      depth += 1;
      try {
        const result = await work();
        await new Promise((heard) => setImmediate(heard));
        if (depth === 1 && status !== null) end(status, true);
        return result;
      } finally {
        // What went wrong is for the command to report, signal or not.
        depth -= 1;
      }
    },
  };
}
