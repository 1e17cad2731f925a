import type { Command } from '@commander-js/extra-typings';
import type { Cli } from './cli.js';
import { FAILOVER_MEMBERS, nameOf } from './failover-members.js';
import { agent, examples, json, withHost } from './flags.js';

/** `codex-router config ...` */
export function addConfig(program: Command, cli: Cli): void {
  const config = program
    .command('config')
    .description('what codex-router lets agents do, and when failover acts');
  config
    .command('get')
    .description('the settings as they are, or one of them')
    .argument('[name]', 'agents.allow, failover, or one of failover.*')
    .addOption(json())
    .addHelpText(
      'after',
      examples(
        ['codex-router config get'],
        ['codex-router config get agents.allow'],
        ['codex-router config get failover', 'all settings of failover'],
        ['codex-router config get failover.order'],
      ),
    )
    .action(async (name) => (await import('./commands/config.js')).runConfigGet(cli, name));
  config
    .command('set')
    .description(
      'change a setting: what an agent may run beside what only looks, or one of failover.*; the word default takes one back',
    )
    .argument('<name>', 'agents.allow or failover.*')
    .argument('<value...>', 'see the examples; none empties a list')
    .addOption(json())
    .addHelpText(
      'after',
      examples(
        [
          'codex-router config set agents.allow use undo sync',
          'agents may switch the login that they run on',
        ],
        ['codex-router config set agents.allow none', 'agents may only look'],
        ...FAILOVER_MEMBERS.map((member): [string, string] => [
          `codex-router config set ${nameOf(member)} ${member.example[0]}`,
          member.example[1],
        ]),
        ['codex-router config set failover.restMinutes default'],
      ),
    )
    .action(async (name, values) => (await import('./commands/config.js')).runConfigSet(cli, name, values));
  config
    .command('path')
    .description('where the settings are kept')
    .addOption(json())
    .addHelpText('after', examples(['codex-router config path']))
    .action(async () => (await import('./commands/config.js')).runConfigPath(cli));
  addSnippet(config, cli);
}

function addSnippet(config: Command, cli: Cli): void {
  withHost(
    config
      .command('snippet')
      .description(
        "print commands of OpenClaw's own for its failover: login order, model fallbacks, a cron job",
      )
      .argument('[name]', 'order, fallbacks or cron; all of them unless named')
      .option(
        '--model <model>',
        'fallbacks: a model that stands in, as <provider>/<model>; may be repeated, best first',
        collected,
      )
      .option(
        '--session <key>',
        'cron: only this session; may be repeated; else those of failover.sessions',
        collected,
      )
      .option('--apply', 'cron: the job switches; without it the job is a dry run')
      .option('--shared-slot', 'cron: as of failover once')
      .option('--own-slot', 'cron: as of failover once')
      .addOption(agent()),
  )
    .addHelpText(
      'after',
      examples(
        ['codex-router config snippet', 'all three, for the OpenClaw found'],
        ['codex-router config snippet fallbacks --model anthropic/claude-sonnet-4-6'],
        ['codex-router config snippet cron --session agent:main:main', 'a dry run every ten minutes'],
        ['codex-router config snippet order | sh', 'run what it prints'],
      ),
    )
    .action(async (name, options) =>
      (await import('./commands/config-snippet.js')).runConfigSnippet(cli, name, options),
    );
}

function collected(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}
