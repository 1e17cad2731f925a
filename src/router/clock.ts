import type { HostNote } from '../slot/host.js';
import { spanText } from './times.js';

/** ms by which two clocks may differ without anybody being told. */
export const CLOCK_TOLERANCE = 60_000;

/**
 * What is to be said of a clock that goes wrong; null within the tolerance.
 * @param ahead ms by which this machine's clock is ahead of the server's, at the middle of the request; null where the server did not tell
 */
export function clockNote(ahead: number | null): HostNote | null {
  if (ahead === null || Math.abs(ahead) <= CLOCK_TOLERANCE) return null;
  const way = ahead > 0 ? 'ahead of' : 'behind';
  const text = `the clock of this machine is ${spanText(Math.abs(ahead))} ${way} the server's: when tokens expire, and limits reset, is told wrongly until it is set`;
  return { code: 'CLOCK_SKEW', text };
}
