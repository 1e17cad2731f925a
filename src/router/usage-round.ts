/** How many are asked at the same time. */
const AT_ONCE = 8;

/** The part of its time after which one that has not answered no longer counts among them: it must not keep the others waiting. */
const COUNTED = 1 / 64;

/** A clock that nobody sets, and its alarms. */
export interface Alarms {
  /** ms */
  readonly now: () => number;
  /** Calls `ring` after `ms`, unless what it gives is called before. */
  readonly after: (ms: number, ring: () => void) => () => void;
}

const STEADY: Alarms = {
  now: () => performance.now(),
  after: (ms, ring) => {
    const timer = setTimeout(ring, ms);
    return () => clearTimeout(timer);
  },
};

/**
 * Asks about each of `items`, eight at a time, and gives the answers in their order. `work` is told how many ms it has; all of it takes
 * twice `waitMs` at most, and who has not been begun by then is told 0.
 * @param signal ends it at once: null stands for who has not answered by then, and who has not been begun never is
 * @throws what `work` throws first; the others go on unheard
 */
export async function askRound<Item, Answer>(
  items: readonly Item[],
  waitMs: number,
  work: (item: Item, leftMs: number) => Promise<Answer>,
  signal?: AbortSignal,
  alarms: Alarms = STEADY,
): Promise<readonly (Answer | null)[]> {
  const end = alarms.now() + 2 * waitMs;
  const answers = new Map<number, Answer>();
  const waiting = [...items.entries()];
  let counted = 0;
  let isOver = false;
  await new Promise<void>((done, fail) => {
    const stop = (): void => {
      isOver = true;
      signal?.removeEventListener('abort', stop);
      done();
    };
    const begin = (): void => {
      if (answers.size === items.length) stop();
      while (!isOver && counted < AT_ONCE) {
        const [next] = waiting.splice(0, 1);
        if (next === undefined) return;
        void one(...next);
      }
    };
    const one = async (place: number, item: Item): Promise<void> => {
      counted += 1;
      let counts = true;
      const uncount = (): void => {
        if (counts) counted -= 1;
        counts = false;
      };
      const cancel = alarms.after(waitMs * COUNTED, () => {
        uncount();
        begin();
      });
      try {
        const answer = await work(item, Math.max(0, Math.min(waitMs, end - alarms.now())));
        if (!isOver) answers.set(place, answer);
      } catch (error) {
        fail(error);
      } finally {
        cancel();
        uncount();
      }
      begin();
    };
    signal?.addEventListener('abort', stop);
    if (signal?.aborted) stop();
    begin();
  });
  return items.map((_, place) => answers.get(place) ?? null);
}
