import { type Command, Option } from '@commander-js/extra-typings';
import type { Cli } from './cli.js';
import { addFailoverService } from './failover-watch-commands.js';
import { examples, withHost } from './flags.js';
import type { Commands } from './program.js';

/** `codex-router failover ...`: nothing is changed anywhere below it without `--apply`. */
export function failoverCommands(program: Command, cli: Cli): Commands {
  return {
    failover: () => {
      const failover = program
        .command('failover')
        .description(
          'another own login for the sessions you name when one runs low; a dry run unless --apply is given',
        );
      addRounds(failover, cli);
      addFailoverService(failover, cli);
    },
  };
}

/** `--session <key>`, as often as there are sessions. */
export function sessions() {
  return new Option(
    '--session <key>',
    'look after this session and no other; again for more; without any, failover.sessions of the configuration',
  ).argParser<readonly string[]>((key, before) => [...(Array.isArray(before) ? before : []), key]);
}

export function sharedSlot() {
  return new Option(
    '--shared-slot',
    'switch the slot although others that were not named use it and move too',
  );
}

export function ownSlot() {
  return new Option('--own-slot', 'give the named sessions a slot of their own, so that nobody else moves');
}

export function names() {
  return new Option(
    '--names',
    'call people by their e-mails and ids, also where it is no terminal that is written to',
  );
}

/** What a question about limits is asked with. */
const ASKED = 'only logins that you have stored are asked about, each with its own token';

function addRounds(failover: Command, cli: Cli): void {
  withHost(
    failover
      .command('check')
      .description(`look, decide, and show what would change and why; never changes anything; ${ASKED}`)
      .addOption(sessions())
      .addOption(sharedSlot())
      .addOption(ownSlot())
      .addOption(names()),
  )
    .addHelpText(
      'after',
      examples(
        ['codex-router failover check', 'the sessions of the configuration'],
        ['codex-router failover check --session agent:main:main --json', 'one session, for programs'],
      ),
    )
    .action(async (options) => (await import('./commands/failover-check.js')).runFailoverCheck(cli, options));
  withHost(
    failover
      .command('once')
      .description(`one round; a dry run unless --apply is given; ${ASKED}`)
      .addOption(sessions())
      .option('--apply', 'make the switch that is recommended')
      .addOption(sharedSlot())
      .addOption(ownSlot())
      .addOption(names()),
  )
    .addHelpText(
      'after',
      examples(
        ['codex-router failover once --session agent:main:main', 'what it would do'],
        [
          'codex-router failover once --session agent:main:main --apply',
          'does it, if nobody else uses the slot',
        ],
        ['codex-router failover once --session agent:main:main --own-slot --apply', 'for that session alone'],
      ),
    )
    .action(async (options) => (await import('./commands/failover-once.js')).runFailoverOnce(cli, options));
  withHost(
    failover
      .command('leave')
      .description('back from a slot of their own to the one they share; a dry run unless --apply is given')
      .addOption(sessions())
      .option('--all', 'every session that has a slot of its own')
      .option('--apply', 'do it')
      .addOption(names()),
  )
    .addHelpText(
      'after',
      examples(
        ['codex-router failover leave --session agent:main:main', 'what it would do'],
        ['codex-router failover leave --session agent:main:main --apply'],
      ),
    )
    .action(async (options) => (await import('./commands/failover-leave.js')).runFailoverLeave(cli, options));
}
