import { leftText } from '../../limits.js';
import type { UsageDocument } from '../documents.js';
import type { Chat } from './chat.js';

/** s that an answer waits for the limits; without them it is no worse. */
const PATIENCE = 4;

type Limits = NonNullable<UsageDocument['usage'][number]['limits']>;

/**
 * "5 h: 62 % left, week: 88 % left." as it is now; null when that cannot be had in time, for whatever reason.
 * @param key an identity's; null for who is in the slot, stored here or not
 */
export async function usageLine(chat: Chat, key: string | null): Promise<string | null> {
  // What it does not get in time it gives up by itself; the signal is for what it waits for before.
  const ran = await chat.within(
    'usage',
    [`--timeout=${PATIENCE}`],
    key ?? undefined,
    AbortSignal.timeout((PATIENCE + 1) * 1000),
  );
  const found = ran.ok ? ran.document.usage[0] : undefined;
  if (found === undefined || found.state !== 'answered' || found.limits === null) return null;
  const text = windowsText(found.limits);
  return text === null ? null : `${text}.`;
}

/** The ordinary limits by their length; null when none was told. */
function windowsText({ windows }: Limits): string | null {
  const ordinary = windows.filter(({ name }) => name === null);
  if (ordinary.length === 0) return null;
  return ordinary.map(({ label, leftPercent }) => `${label}: ${leftText(leftPercent)} left`).join(', ');
}
