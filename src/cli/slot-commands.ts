import type { Command } from '@commander-js/extra-typings';
import type { Cli } from './cli.js';
import { agent, examples, json, withHost } from './flags.js';
import type { Commands } from './program.js';

/** What looks at or changes the slots of an OpenClaw. */
export function slotCommands(program: Command, cli: Cli): Commands {
  return {
    use: () =>
      withHost(
        program
          .command('use')
          .description('put an identity into the slot and sync the current session')
          .argument(
            '[selector]',
            'accountId, accountId/userId, alias, e-mail, unique prefix, or "-" for the previous one',
          )
          .addOption(agent())
          .option('--session <key>', 'pin this session instead of the current one')
          .option('--no-session', 'pin no session')
          .option('--all-sessions', 'pin every session that follows the slot')
          .option(
            '--move',
            'take the login from another agent, another OpenClaw or the Codex CLI that holds it',
          )
          .option('--fix-labels', 'take an e-mail out of openclaw.json that would name another account')
          .option('--dry-run', 'show the full plan and write nothing'),
      )
        .addHelpText(
          'after',
          examples(
            ['codex-router use', 'choose from a list'],
            ['codex-router use work --dry-run', 'what would change'],
            ['codex-router use 11111111 --session agent:main:main', 'pin that chat'],
          ),
        )
        .action(async (selector, options) =>
          (await import('./commands/use.js')).runUse(cli, selector, options),
        ),
    undo: () =>
      withHost(
        program
          .command('undo')
          .description('take the last switch back: the identity before it, and the pins as they were')
          .addOption(agent())
          .option('--dry-run', 'show what would be taken back and write nothing'),
      )
        .addHelpText('after', examples(['codex-router undo'], ['codex-router undo --dry-run']))
        .action(async (options) => (await import('./commands/undo.js')).runUndo(cli, options)),
    history: () =>
      program
        .command('history')
        .description('the switches made, newest first')
        .option('--limit <n>', 'how many, 20 unless told')
        .addOption(json())
        .addHelpText('after', examples(['codex-router history'], ['codex-router history --limit 100 --json']))
        .action(async (options) => (await import('./commands/history.js')).runHistory(cli, options)),
    sync: () =>
      withHost(
        program
          .command('sync')
          .description("bring the slots' rotated tokens home, and finish what was interrupted")
          .option('--wait [seconds]', 'wait for running turns to end first, 600 seconds at most unless told'),
      )
        .addHelpText(
          'after',
          examples(
            ['codex-router sync'],
            ['codex-router sync --wait', 'after a switch in the middle of a turn'],
          ),
        )
        .action(async (options) => (await import('./commands/sync.js')).runSync(cli, options)),
    status: () =>
      withHost(
        program
          .command('status')
          .description(
            'the host found, who is in each slot, the current session, and how the vault is opened',
          ),
      )
        .addHelpText('after', examples(['codex-router status'], ['codex-router status --json']))
        .action(async (options) => (await import('./commands/status.js')).runStatus(cli, options)),
    explain: () =>
      withHost(
        program
          .command('explain')
          .description('the seven places that can name different accounts, and the first that disagrees')
          .option('--session <key>', 'about this session instead of the current one')
          .addOption(agent()),
      )
        .addHelpText(
          'after',
          examples(
            ['codex-router explain', 'why /status does not follow a switch'],
            ['codex-router explain --session agent:main:main --json'],
          ),
        )
        .action(async (options) => (await import('./commands/explain.js')).runExplain(cli, options)),
    usage: () =>
      withHost(
        program
          .command('usage')
          .description('what is left of the limits, asked with each own login; refreshes nothing')
          .argument(
            '[selector...]',
            'whom to ask for; without one, who is in the slot of the current session',
          )
          .option('--all', 'everybody who is stored, or in OpenClaw')
          .option('--offline', 'ask nobody: the last known, with its age')
          .option('--timeout <seconds>', 'how long an answer may take, 15 unless told')
          .option('--session <key>', 'whose slot is meant, instead of that of the current session')
          .option(
            '--watch',
            'again and again: drawn in place on a terminal, else lines; with --json a document in each',
          )
          .option('--interval <seconds>', 'how often --watch asks, 60 unless told, 15 at least')
          .option(
            '--history',
            'what was left when it was looked at, as a chart on a terminal, else a table; asks nobody',
          )
          .option('--days <n>', 'how far back --history goes, 7 unless told')
          .option('--ascii', 'bars and charts without special characters')
          .addOption(agent()),
      )
        .addHelpText(
          'after',
          examples(
            ['codex-router usage', 'of who is active'],
            ['codex-router usage --all', 'of everybody, eight at a time'],
            ['codex-router usage work home --json', 'for programs'],
            ['codex-router usage --all --watch', 'look on; q ends'],
            ['codex-router usage --watch --json >> usage.ndjson', 'a JSON document in each line'],
            ['codex-router usage --history --all --days 30', 'how it went'],
          ),
        )
        .action(async (selectors, options) =>
          (await import('./commands/usage.js')).runUsage(cli, selectors, options),
        ),
    host: () => {
      const host = withHost(
        program
          .command('host')
          .description('what was found of OpenClaw: its stores, its agents, and why it is routed as it is')
          .option('--residue', "list the logins that OpenClaw's own archives and leftovers still keep"),
      )
        .addHelpText('after', examples(['codex-router host'], ['codex-router host --residue --json']))
        // Options behind `adopt` are its own, not those of `host` itself.
        .enablePositionalOptions()
        .action(async (options) => (await import('./commands/host.js')).runHost(cli, options));
      withHost(
        host
          .command('adopt')
          .description('make this codex-router the one that routes that OpenClaw')
          .option('--yes', 'do not ask')
          .option('--dry-run', 'show whom it would touch and write nothing'),
      )
        .addHelpText(
          'after',
          examples(
            ['codex-router host adopt --dry-run', 'whose logins would be doubted'],
            ['codex-router host adopt --yes', 'in a script'],
          ),
        )
        .action(async (options) => (await import('./commands/host-adopt.js')).runAdopt(cli, options));
    },
    doctor: () =>
      withHost(
        program
          .command('doctor')
          .description(
            'what is not as it should be: logins in danger, layers that disagree, locks, permissions; only looks',
          )
          .option('--fix', 'mend what can be mended, the smallest thing first, each after a sealed back-up')
          .option('--undo [id]', 'take a mend back, the last one unless told')
          .option('--bundle [file]', 'a report that names nobody, to paste into a bug report')
          .addOption(agent())
          .option('--session <key>', 'about this session instead of the current one'),
      )
        .addHelpText(
          'after',
          examples(
            ['codex-router doctor', 'looks, and says what --fix would do'],
            ['codex-router doctor --fix', 'does it, one at a time'],
            ['codex-router doctor --undo', 'takes the last mend back'],
            ['codex-router doctor --bundle report.md', 'writes a report to read and to show'],
          ),
        )
        .action(async (options) => (await import('./commands/doctor.js')).runDoctor(cli, options)),
  };
}
