import type { Command } from '@commander-js/extra-typings';
import type { Cli } from './cli.js';
import { examples, withHost } from './flags.js';

/** `codex-router session ...` */
export function addSession(program: Command, cli: Cli): void {
  const session = program.command('session').description('what one session of OpenClaw is pinned to');
  withHost(
    session
      .command('show')
      .description('the session and its companions: their pins, whose login that is, whether a turn runs')
      .argument('<key>', 'its key, with or without agent:<id>:'),
  )
    .addHelpText(
      'after',
      examples(
        ['codex-router session show agent:main:main', 'what it is pinned to, and who chose that'],
        ['codex-router session show telegram:direct:1001 --json', 'for programs'],
      ),
    )
    .action(async (key, options) =>
      (await import('./commands/session.js')).runSessionShow(cli, key, options),
    );
  withHost(
    session
      .command('set')
      .description("pin the session and its companions to the agent's slot, or to another login there")
      .argument('<key>', 'its key, with or without agent:<id>:')
      .option('--to <selector>', 'whose login, or its profile id: one that OpenClaw has already')
      .option('--dry-run', 'show what would be pinned and write nothing'),
  )
    .addHelpText(
      'after',
      examples(
        ['codex-router session set agent:main:main', 'pin it to the slot'],
        ['codex-router session set agent:main:main --to work', 'pin it to the login of work'],
        ['codex-router session set main --to openai-codex:work --dry-run', 'what would change'],
      ),
    )
    .action(async (key, options) => (await import('./commands/session.js')).runSessionSet(cli, key, options));
  withHost(
    session
      .command('clear')
      .description('take the pin off the session and its companions: they follow the order again')
      .argument('<key>', 'its key, with or without agent:<id>:')
      .option('--dry-run', 'show what would be taken off and write nothing'),
  )
    .addHelpText(
      'after',
      examples(['codex-router session clear agent:main:main'], ['codex-router session clear main --dry-run']),
    )
    .action(async (key, options) =>
      (await import('./commands/session.js')).runSessionClear(cli, key, options),
    );
}
