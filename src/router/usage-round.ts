/** How many are asked at the same time. */
const AT_ONCE = 8;

/** The part of its time after which one that has not answered no longer counts among them: it must not keep the others waiting. */
const COUNTED = 1 / 16;

/**
 * Asks about each of `items`, eight at a time, and gives the answers in their order. `work` is told how many ms it has; all of it takes
 * twice `waitMs` at most, and who has not been begun by then is told 0.
 * @throws what `work` throws first; the others go on unheard
 */
export async function askRound<Item, Answer>(
  items: readonly Item[],
  waitMs: number,
  work: (item: Item, leftMs: number) => Promise<Answer>,
): Promise<readonly Answer[]> {
  const end = performance.now() + 2 * waitMs;
  const answers = new Map<number, Answer>();
  let next = 0;
  let counted = 0;
  await new Promise<void>((done, fail) => {
    const begin = (): void => {
      if (answers.size === items.length) done();
      while (counted < AT_ONCE && next < items.length) {
        const place = next;
        next += 1;
        for (const item of items.slice(place, place + 1)) void one(item, place);
      }
    };
    const one = async (item: Item, place: number): Promise<void> => {
      counted += 1;
      let counts = true;
      const uncount = (): void => {
        if (counts) counted -= 1;
        counts = false;
      };
      const timer = setTimeout(() => {
        uncount();
        begin();
      }, waitMs * COUNTED);
      try {
        answers.set(place, await work(item, Math.max(0, Math.min(waitMs, end - performance.now()))));
      } catch (error) {
        fail(error);
      } finally {
        clearTimeout(timer);
        uncount();
      }
      begin();
    };
    begin();
  });
  return [...answers].sort(([a], [b]) => a - b).map(([, answer]) => answer);
}
