import { RouterError } from '../errors.js';
import type { Host, HostNote } from '../slot/host.js';

/** Reports, and where it is asked for mends, a name the host goes on showing for a slot that somebody else is in now. */
export async function mendLabel(
  { labelFor }: Pick<Host, 'labelFor'>,
  email: string | null,
  mends: boolean,
  gatewayRuns: boolean,
): Promise<readonly HostNote[]> {
  const label = labelFor?.(email) ?? null;
  if (label === null) return [];
  if (!mends) return [label.note];
  try {
    return [await label.mend(gatewayRuns)];
  } catch (error) {
    // The switch itself is done and proved by now.
    if (!(error instanceof RouterError)) throw error;
    return [{ code: error.code, text: error.message }];
  }
}
