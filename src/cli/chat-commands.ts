import type { Command } from '@commander-js/extra-typings';
import type { Cli } from './cli.js';
import { addConfig } from './config-command.js';
import { examples, withHost } from './flags.js';
import { addPlugin } from './plugin-command.js';
import type { Commands } from './program.js';

/** What is asked from a chat, and what a chat needs to answer. */
export function chatCommands(program: Command, cli: Cli): Commands {
  return {
    config: () => addConfig(program, cli),
    plugin: () => addPlugin(program, cli),
    chat: () =>
      withHost(
        program
          .command('chat')
          .description('carry out what a person wrote in a chat, and answer in words for that chat')
          .argument(
            '[text]',
            'as it was written, say "/codex_profile use work"; never the address of a login',
          )
          .option('--session <key>', 'the chat it was written in (CODEX_ROUTER_SESSION_KEY)')
          .option('--stdin', 'a whole request as one JSON document on standard input; answers with one'),
      )
        .addHelpText(
          'after',
          examples(
            ['codex-router chat "/codex_profile"', 'who is active, and a menu'],
            ['codex-router chat "/codex_profile use work" --session agent:main:main', 'switch that chat'],
            ['codex-router chat "/codex_usage all" --json', 'the limits of every login'],
            ['codex-router chat --stdin < request.json', 'what the OpenClaw plugin does'],
          ),
        )
        .action(async (text, options) => (await import('./commands/chat.js')).runChat(cli, text, options)),
  };
}
