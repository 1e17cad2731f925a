import type { Command } from '@commander-js/extra-typings';
import type { Cli } from './cli.js';
import type { Commands } from './program.js';

/** What makes, lends and ends logins. */
export function loginCommands(_program: Command, _cli: Cli): Commands {
  return {};
}
