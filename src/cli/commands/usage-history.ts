import { RouterError } from '../../errors.js';
import { identityKey } from '../../identity.js';
import { windowLabel } from '../../limits.js';
import { usageHistoryIn } from '../../repo/usage-history.js';
import { candidateOf } from '../../router/resolve.js';
import { whoIsMeant } from '../../router/usage.js';
import type { Cli } from '../cli.js';
import { compose } from '../compose.js';
import { DONE, type UsageHistoryDocument } from '../documents.js';
import { usageHistoryText } from '../usage-history-text.js';
import { meantBy, saidBeside, type UsageOptions } from '../usage-look.js';
import { lookOf } from './usage.js';

/** `codex-router usage --history`: what was left when it was looked at. Asks nobody, opens no vault, writes nothing. */
export async function runUsageHistory(
  cli: Cli,
  selectors: readonly string[],
  options: UsageOptions,
): Promise<void> {
  const since = cli.now() - daysOf(options) * DAY;
  const parts = compose(cli, options);
  const { meant, host, notes } = await meantBy(cli, parts, selectors, options);
  const targets = await whoIsMeant({ repo: parts.repo, host }, meant.wish);
  const looksOf = await usageHistoryIn(parts.folders.data).read();
  const document: UsageHistoryDocument = {
    ...DONE,
    meant: meant.wish.kind,
    session: meant.session,
    since,
    history: targets.map(({ identity, entry }) => ({
      identity: candidateOf({ alias: entry?.alias ?? null, identity }),
      stored: entry !== null,
      looks: looksOf(identityKey(identity))
        .filter(({ at }) => at >= since)
        .map(({ at, windows }) => ({
          at,
          windows: windows.map((window) => ({ ...window, label: windowLabel(window.seconds) })),
        })),
    })),
    notes: [...notes],
  };
  cli.print(document, () => usageHistoryText(document, lookOf(cli, options)));
  if (!cli.json) for (const line of saidBeside(document)) cli.say(line);
}

/** ms */
const DAY = 24 * 3_600_000;

/** Days; nothing is kept for longer. */
const [LONGEST, DEFAULT] = [90, 7];

function daysOf({ days }: UsageOptions): number {
  const count = days === undefined ? DEFAULT : Number(days);
  if (days?.trim() !== '' && count > 0 && count <= LONGEST) return count;
  throw new RouterError('USAGE', `--days takes a number, ${LONGEST} at most`, {
    hint: 'codex-router usage --history --days 30',
  });
}
