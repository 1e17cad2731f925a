import type { Command } from '@commander-js/extra-typings';
import type { Cli } from './cli.js';
import { examples, json } from './flags.js';

/** `codex-router plugin ...` */
export function addPlugin(program: Command, cli: Cli): void {
  const plugin = program.command('plugin').description('the OpenClaw plugin, for chats');
  plugin
    .command('path')
    .description('the folder that "openclaw plugins install" takes')
    .option('--program', 'the program that the plugin runs, instead')
    .addOption(json())
    .addHelpText(
      'after',
      examples(
        ['openclaw plugins install "$(codex-router plugin path)"', 'install it'],
        [
          'codex-router plugin path --program',
          "for the plugin's config, where it does not find the program by itself",
        ],
      ),
    )
    .action(async (options) => (await import('./commands/plugin.js')).runPluginPath(cli, options));
  plugin
    .command('snippet')
    .description("the plugin's part of openclaw.json: who may ask, and which program answers")
    .option('--sender <who...>', 'who may ask beside the owner, say telegram:1001')
    .addOption(json())
    .addHelpText(
      'after',
      examples(
        ['codex-router plugin snippet', 'for the owner of the OpenClaw alone'],
        ['codex-router plugin snippet --sender telegram:1001', 'for one Telegram user'],
      ),
    )
    .action(async (options) => (await import('./commands/plugin.js')).runPluginSnippet(cli, options));
}
