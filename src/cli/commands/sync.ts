import { RouterError } from '../../errors.js';
import { requireReplacing } from '../../os/platform.js';
import { type SyncAnswer, sync } from '../../router/sync.js';
import { showText } from '../../text.js';
import { switchDeps } from '../adapt.js';
import type { Cli } from '../cli.js';
import { compose } from '../compose.js';
import { DONE, personIn, type SyncDocument, slotOf } from '../documents.js';
import type { HostOptions } from '../options.js';
import { phrase } from '../people.js';
import { refreshedIn, refreshedLines } from './refresh.js';

export interface SyncOptions extends HostOptions {
  /** Seconds, or true for the default. */
  readonly wait?: string | true;
}

/** Seconds to wait for running turns when `--wait` does not say. */
const WAIT = 600;

/** `codex-router sync` */
export async function runSync(cli: Cli, options: SyncOptions): Promise<void> {
  requireReplacing(cli.platform);
  const waitMs = waitOf(options.wait);
  const parts = compose(cli, options);
  const host = await parts.besideKeychain(() => parts.host());
  if (waitMs !== null) cli.say('waiting for running turns to end ...');
  const answer = await sync(switchDeps(cli, parts, host), waitMs);
  const entries = await parts.repo.list();
  const document: SyncDocument = {
    ...DONE,
    slots: answer.slots.map((one) => slotIn(one, entries)),
    refreshed: answer.refreshed.map(refreshedIn),
    notes: [...answer.notes],
  };
  cli.print(document, () => text(document, cli.now()));
  if (!cli.json) for (const note of document.notes) cli.say(`note: ${showText(note.text, 300)}`);
}

/** @throws USAGE unless it is a number of seconds */
function waitOf(wait: SyncOptions['wait']): number | null {
  if (wait === undefined) return null;
  const seconds = wait === true ? WAIT : Number(wait);
  if (Number.isFinite(seconds) && seconds >= 0 && seconds <= 86_400) return seconds * 1000;
  throw new RouterError('USAGE', '--wait wants a number of seconds, 86400 at most', {
    hint: 'codex-router sync --help',
  });
}

function slotIn(
  { slot, occupant, checkedIn }: SyncAnswer['slots'][number],
  entries: Parameters<typeof personIn>[1],
): SyncDocument['slots'][number] {
  return {
    ...slotOf(slot),
    occupant: occupant && personIn(occupant, entries),
    checkedIn: checkedIn.map(({ identity, result }) => ({
      accountId: identity.accountId,
      userId: identity.userId,
      result,
    })),
  };
}

const HAPPENED = {
  unchanged: 'nothing new',
  'taken-home': 'OpenClaw had refreshed it; the new tokens are stored',
  imported: 'was not stored yet; it is now',
  'repo-newer': 'a newer login is stored; codex-router use puts it in',
} as const;

function text({ slots, refreshed }: SyncDocument, now: number): string {
  const lines = slots.flatMap(({ profileId, agent, occupant, checkedIn }) => {
    const where = `${profileId} of agent ${showText(agent)}`;
    const who = occupant === null ? 'no login' : phrase(occupant);
    const news = checkedIn.map(
      ({ accountId, result }) => `  ${showText(accountId.slice(0, 8), 8)}  ${HAPPENED[result]}`,
    );
    return [`${where}: ${who}`, ...news];
  });
  lines.push(...refreshed.flatMap((one) => refreshedLines(one, now)));
  return lines.length === 0 ? 'there is no slot to check in' : lines.join('\n');
}
