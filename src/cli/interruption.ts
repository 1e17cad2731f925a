/** What Ctrl-C does: at once where nothing is half-done, after the step where something would be. */
export interface Interruption {
  /** Aborted at the first signal; prompts and waits listen to it. */
  readonly signal: AbortSignal;
  /** Runs to its end although a signal arrives; then ends the process. A second signal ends it at once. */
  critical<T>(work: () => Promise<T>): Promise<T>;
}

/** Installs handlers for SIGINT, SIGTERM and SIGHUP; the exit status is 128 plus the signal's number, as shells expect. */
export function watchInterruptions(proc: NodeJS.Process): Interruption {
  const controller = new AbortController();
  let depth = 0;
  let status: number | null = null;
  const receive = (number: number) => () => {
    const second = status !== null;
    status = 128 + number;
    controller.abort();
    // `exit` listeners still run: they remove lock files and end child processes.
    if (depth === 0 || second) proc.exit(status);
  };
  proc.on('SIGINT', receive(2));
  proc.on('SIGTERM', receive(15));
  proc.on('SIGHUP', receive(1));
  return {
    signal: controller.signal,
    async critical(work) {
      depth += 1;
      try {
        return await work();
      } finally {
        depth -= 1;
        if (depth === 0 && status !== null) proc.exit(status);
      }
    },
  };
}
