import { sameIdentity } from '../identity.js';
import type { SwitchRecord } from '../repo/journal.js';
import type { HostNote, ReloadOutcome } from '../slot/host.js';
import type { PinOutcome, SessionEntry } from '../slot/pins.js';
import { canonicalKey, isSlash } from '../slot/session.js';

/** What decides whether a chat goes on with the login that its gateway has opened a connection with. */
export interface KeptQuestion {
  readonly reload: ReloadOutcome;
  /** ms epoch: when the slot last got another identity; null when it did not, or nobody knows. */
  readonly changedAt: number | null;
  /** The chat that the answer is for; null when it is for none. */
  readonly current: string | null;
  readonly following: readonly Pick<SessionEntry, 'key' | 'updatedAt'>[];
  /** As planned: a chat that another login was pinned to changes its account without the slot. */
  readonly pins: readonly Pick<PinOutcome, 'key' | 'was' | 'is'>[];
  /** Keys of sessions inside a turn; null when it is not known. */
  readonly running: ReadonlySet<string> | null;
  readonly now: number;
}

/** What a gateway's own proof leaves out: it took the login, and a chat that was just at work does not use it yet. */
export interface Kept {
  readonly reload: ReloadOutcome;
  readonly notes: readonly HostNote[];
}

/** `SESSION_WEBSOCKET_MAX_AGE_MS` of OpenClaw: a connection that is never idle is not used for longer. */
const OLDEST_MS = 55 * 60 * 1000;

/**
 * `after-idle` instead of `now` where the gateway keeps connections and this chat may have one from before the change: it
 * had a turn a moment ago, or does not say when. CONNECTION_KEPT says how many other sessions may.
 */
export function withKept(question: KeptQuestion): Kept {
  const { reload, changedAt, current, following, pins, now } = question;
  const { keptMs } = reload;
  if (keptMs === undefined || reload.effective === 'no-gateway') return { reload, notes: [] };
  const hasSlotChanged = changedAt !== null && now - changedAt < OLDEST_MS;
  const busy = following.filter((entry) => !isSlash(entry.key) && mayHaveOne(entry, question, keptMs));
  const here = current === null ? null : canonicalKey(current);
  const isHere = ({ key }: { readonly key: string }) => canonicalKey(key) === here;
  const hasMoved = pins.some((pin) => isHere(pin) && pin.was !== null && pin.was !== pin.is);
  const others = hasSlotChanged ? busy.filter((entry) => !isHere(entry)).length : 0;
  const isCurrentKept = (hasSlotChanged || hasMoved) && busy.some(isHere);
  const minutes = Math.round(keptMs / 60_000);
  const notes: HostNote[] = [];
  if (others > 0) {
    const whose = isCurrentKept ? 'other session(s) that were' : 'session(s) that were';
    const text = `${others} ${whose} at work in the last ${minutes} minutes go on with the account before until they have been quiet for ${minutes} minutes: OpenClaw keeps their connections to the model`;
    notes.push({ code: 'CONNECTION_KEPT', text });
  }
  if (!isCurrentKept) return { reload, notes };
  const own = `this chat was at work in the last ${minutes} minutes and goes on with the account before until it has been quiet for ${minutes}: OpenClaw keeps its connection to the model`;
  notes.unshift({ code: 'CONNECTION_KEPT', text: own });
  if (reload.effective !== 'now') return { reload, notes };
  const advice = `leave this chat quiet for ${minutes} minutes; /new in it, or a restart of the gateway, does it at once`;
  return { reload: { ...reload, effective: 'after-idle', advice }, notes };
}

function mayHaveOne(
  { key, updatedAt }: KeptQuestion['following'][number],
  { running, now }: KeptQuestion,
  keptMs: number,
): boolean {
  return updatedAt === 0 || now - updatedAt < keptMs || running?.has(canonicalKey(key)) === true;
}

/** When the slot last got the identity that is in it from another; null where the journal does not know. */
export function changedTo(
  records: readonly SwitchRecord[],
  slot: string,
  who: Parameters<typeof sameIdentity>[0],
): number | null {
  const made = ({ from, to, step, ...record }: SwitchRecord) =>
    record.slot === slot &&
    (from === null || to === null || !sameIdentity(from, to)) &&
    step !== 'begun' &&
    step !== 'abandoned';
  const last = records.findLast(made);
  return last !== undefined && last.to !== null && sameIdentity(last.to, who) ? last.at : null;
}
