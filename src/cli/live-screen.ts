import { writeSync } from 'node:fs';

/** A terminal that is drawn on again and again, on its alternate screen: what was there before is there again afterwards. */
export interface LiveScreen {
  readonly columns: number;
  readonly rows: number;
  /** In place of what was drawn last, without the blank between that flickers. What has no room is left out. */
  draw(lines: readonly string[]): void;
  /** Runs `work` on the ordinary screen: it may ask somebody something. */
  aside<T>(work: () => Promise<T>): Promise<T>;
  /** Puts everything back; also done when the process ends, whatever ends it. */
  close(): void;
}

export interface LiveHeard {
  /** Another size: what stands there is to be drawn anew. */
  onResize(): void;
  /** A key, as its character; Ctrl-C is a signal and none. */
  onKey(key: string): void;
}

/** Alternate screen, no cursor, and no line that goes on in the next one. */
const ENTER = '\u001b[?1049h\u001b[?25l\u001b[?7l';
const LEAVE = '\u001b[?7h\u001b[?25h\u001b[?1049l';

/** A terminal that knows it (2026: most) shows all of it at once; others ignore it. */
const BEGIN = '\u001b[?2026h\u001b[H';
const END = '\u001b[J\u001b[?2026l';

/** @param hasKeys whether stdin is a terminal too */
export function liveScreen(proc: NodeJS.Process, hasKeys: boolean, heard: LiveHeard): LiveScreen {
  const { stdout } = proc;
  let isOn = false;
  const onData = (bytes: Buffer): void => {
    for (const key of bytes.toString('latin1')) {
      if (key === '\u0003') proc.kill(proc.pid, 'SIGINT');
      else heard.onKey(key);
    }
  };
  const enter = (): void => {
    if (isOn) return;
    isOn = true;
    if (hasKeys) proc.stdin.setRawMode?.(true).on('data', onData).resume();
    put(ENTER);
  };
  const leave = (): void => {
    if (!isOn) return;
    isOn = false;
    put(LEAVE);
    // A stdin that is listened to keeps the process.
    if (hasKeys) proc.stdin.off('data', onData).setRawMode?.(false).pause();
  };
  stdout.on('resize', heard.onResize);
  proc.once('exit', leave);
  return {
    get columns() {
      return stdout.columns || 80;
    },
    get rows() {
      return stdout.rows || 24;
    },
    draw: (lines) => {
      enter();
      const rows = stdout.rows || 24;
      const shown = lines.slice(0, rows).map((line) => `${line}\u001b[K`);
      put(`${BEGIN}${shown.join('\r\n')}${END}`);
    },
    aside: async (work) => {
      const wasOn = isOn;
      leave();
      try {
        return await work();
      } finally {
        if (wasOn) enter();
      }
    },
    close: () => {
      stdout.off('resize', heard.onResize);
      proc.off('exit', leave);
      leave();
    },
  };
}

/** All of it or as much as the terminal takes: one that takes no more, or is gone, is no error of a picture. */
function put(text: string): void {
  try {
    let rest: Uint8Array = Buffer.from(text);
    while (rest.length > 0) rest = rest.subarray(writeSync(1, rest));
  } catch {
    // The next picture is whole again.
  }
}
