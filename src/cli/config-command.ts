import type { Command } from '@commander-js/extra-typings';
import type { Cli } from './cli.js';
import { examples, json } from './flags.js';

/** `codex-router config ...` */
export function addConfig(program: Command, cli: Cli): void {
  const config = program.command('config').description('what codex-router lets agents do');
  config
    .command('get')
    .description('the settings as they are, or one of them')
    .argument('[name]', 'agents.allow')
    .addOption(json())
    .addHelpText('after', examples(['codex-router config get'], ['codex-router config get agents.allow']))
    .action(async (name) => (await import('./commands/config.js')).runConfigGet(cli, name));
  config
    .command('set')
    .description('change a setting: what an agent may run beside what only looks')
    .argument('<name>', 'agents.allow')
    .argument('<value...>', 'use, undo and sync, or none')
    .addOption(json())
    .addHelpText(
      'after',
      examples(
        [
          'codex-router config set agents.allow use undo sync',
          'agents may switch the login that they run on',
        ],
        ['codex-router config set agents.allow none', 'agents may only look'],
      ),
    )
    .action(async (name, values) => (await import('./commands/config.js')).runConfigSet(cli, name, values));
  config
    .command('path')
    .description('where the settings are kept')
    .addOption(json())
    .addHelpText('after', examples(['codex-router config path']))
    .action(async () => (await import('./commands/config.js')).runConfigPath(cli));
}
