import { RouterError } from '../../errors.js';
import { type Cli, painter } from '../cli.js';
import { compose } from '../compose.js';
import { lookAtUsage, saidBeside, type UsageOptions } from '../usage-look.js';
import { type UsageLook, usageText } from '../usage-text.js';

/** `codex-router usage [selector...]`: what is left to each, asked with its own token; changes and refreshes nothing. */
export async function runUsage(cli: Cli, selectors: readonly string[], options: UsageOptions): Promise<void> {
  refuseContradiction(selectors, options);
  if (options.history) return (await import('./usage-history.js')).runUsageHistory(cli, selectors, options);
  if (options.watch) return (await import('./usage-watch.js')).runUsageWatch(cli, selectors, options);
  const parts = compose(cli, options);
  // The first Ctrl-C ends the questions, not what was answered: that is kept and shown.
  await cli.interruption.critical(async () => {
    try {
      const { document, status } = await lookAtUsage(cli, parts, selectors, options);
      cli.exitWith(status);
      // Nobody reads on a terminal that has been closed, and Node would not survive writing there.
      if (cli.terminal.isGone) return;
      cli.print(document, () => usageText(document, lookOf(cli, options)));
      if (!cli.json) for (const line of saidBeside(document)) cli.say(line);
    } finally {
      // A keychain that is still to answer must not keep an interrupted command from ending.
      if (cli.interruption.signal.aborted) parts.repoDeps.keychain.close();
    }
  });
}

/** What its text is drawn on. */
export function lookOf(cli: Cli, { ascii = false }: Pick<UsageOptions, 'ascii'>): UsageLook {
  return { now: cli.now(), page: cli.terminal.page, ascii, paint: painter(cli) };
}

/** Of options that say opposite things none is silently the stronger one. */
function refuseContradiction(selectors: readonly string[], options: UsageOptions): void {
  const { all, watch, history, offline, interval, days } = options;
  const wrong =
    selectors.length > 0 && all
      ? 'a selector and --all exclude each other'
      : watch && history
        ? '--watch and --history exclude each other'
        : offline && watch
          ? '--offline asks nobody, so there is nothing to watch'
          : interval !== undefined && !watch
            ? '--interval goes with --watch'
            : days !== undefined && !history
              ? '--days goes with --history'
              : null;
  if (wrong !== null) throw new RouterError('USAGE', wrong, { hint: 'codex-router usage --help' });
}
