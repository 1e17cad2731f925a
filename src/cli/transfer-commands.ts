import type { Command } from '@commander-js/extra-typings';
import type { Cli } from './cli.js';
import type { Commands } from './program.js';

/** What carries the stored identities elsewhere, and the way out. */
export function transferCommands(_program: Command, _cli: Cli): Commands {
  return {};
}
