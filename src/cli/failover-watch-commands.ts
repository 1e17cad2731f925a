import type { Command } from '@commander-js/extra-typings';
import type { Cli } from './cli.js';
import { examples, json, withHost } from './flags.js';

const more = (key: string, before: readonly string[] = []) => [...before, key];

/** `codex-router failover watch`, and what looks after it. */
export function addFailoverService(failover: Command, cli: Cli): void {
  withHost(
    failover
      .command('watch')
      .description(
        'look again and again, in the foreground, until it is stopped; changes nothing without --apply; only logins that you have stored are asked about, each with its own token',
      )
      .option('--session <key>', 'only this session; may be repeated; else those of failover.sessions', more)
      .option('--apply', 'switch when it is time to')
      .option('--shared-slot', 'with --apply: also where sessions that are not named move along')
      .option('--own-slot', 'with --apply: give the named sessions a slot of their own')
      .option('--interval <seconds>', 'how often, 60 at least; else failover.intervalSeconds')
      .option('--names', 'name people and sessions, also where it is no terminal that is written to'),
  )
    .addHelpText(
      'after',
      examples(
        ['codex-router failover watch', 'tells what it would do'],
        ['codex-router failover watch --session agent:main:main --apply', 'does it, for one session'],
        ['codex-router failover watch --json', 'a JSON document in each line'],
        ['codex-router failover unit', 'as a service'],
      ),
    )
    .action(async (options) => (await import('./commands/failover-watch.js')).runFailoverWatch(cli, options));
  failover
    .command('status')
    .description('whether a watch runs, when it looked last, and what it remembers')
    .option('--names', 'name people and slots instead of masking them')
    .addOption(json())
    .addHelpText(
      'after',
      examples(['codex-router failover status'], ['codex-router failover status --names --json']),
    )
    .action(async (options) =>
      (await import('./commands/failover-status.js')).runFailoverStatus(cli, options),
    );
  withHost(
    failover
      .command('log')
      .description('what the watch, and once --apply, did; who and where are masked')
      .option('--limit <n>', 'how many events, 50 unless told')
      .option('--names', 'name people, sessions and slots instead of masking them'),
  )
    .addHelpText(
      'after',
      examples(['codex-router failover log'], ['codex-router failover log --names --limit 10']),
    )
    .action(async (options) => (await import('./commands/failover-log.js')).runFailoverLog(cli, options));
  failover
    .command('stop')
    .description('end the watch that runs, and wait until it has ended')
    .option('--timeout <seconds>', 'how long to wait, 90 unless told')
    .addOption(json())
    .addHelpText('after', examples(['codex-router failover stop']))
    .action(async (options) => (await import('./commands/failover-stop.js')).runFailoverStop(cli, options));
  withHost(
    failover
      .command('unit')
      .description(
        'print a systemd user unit, or a launchd agent, that runs the watch; a dry run without --apply',
      )
      .option('--systemd', 'a systemd user unit; what Linux gets unless told')
      .option('--launchd', 'a launchd agent; what macOS gets unless told')
      .option('--session <key>', 'only this session; may be repeated; else those of failover.sessions', more)
      .option('--apply', 'a service that switches')
      .option('--shared-slot', 'as of failover watch')
      .option('--own-slot', 'as of failover watch')
      .option('--interval <seconds>', 'how often, 60 at least; else failover.intervalSeconds'),
  )
    .addHelpText(
      'after',
      examples(
        ['codex-router failover unit', 'and how to install it'],
        [`codex-router failover unit > ~/.config/systemd/user/codex-router-failover.service`],
        ['codex-router failover unit --launchd --apply'],
      ),
    )
    .action(async (options) => (await import('./commands/failover-unit.js')).runFailoverUnit(cli, options));
}
