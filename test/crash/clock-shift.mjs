/**
 * Preloaded (`node --import`): the program's wall clock is wrong by as many ms as the file CLOCK_SHIFT names says, looked at anew each time,
 * so that the clock can jump while it runs. What counts time without it (performance, timers) goes on as it does in a real jump.
 */
import { readFileSync } from 'node:fs';

const file = process.env.CLOCK_SHIFT;

if (file) {
  const Real = Date;
  const now = () => Real.now() + Number(readFileSync(file, 'utf8'));
  globalThis.Date = class extends Real {
    constructor(...given) {
      super(...(given.length === 0 ? [now()] : given));
    }
    static now() {
      return now();
    }
  };
}
