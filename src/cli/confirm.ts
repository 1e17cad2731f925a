import { RouterError } from '../errors.js';
import type { Cli } from './cli.js';

export interface Confirmation {
  /** What is going to be done, as the person is shown it. */
  readonly preview: readonly string[];
  readonly question: string;
  /** What has to be confirmed, as the subject of a sentence. */
  readonly what: string;
  /** Says that it was not done. */
  readonly declined: string;
  /** The command that only looks. */
  readonly look: string;
}

/** Returns when a person has agreed. @throws CHOICE_NEEDED without a terminal, INTERRUPTED when they have not */
export async function confirm(
  { terminal, say }: Cli,
  { preview, question, what, declined, look }: Confirmation,
): Promise<void> {
  if (!terminal.canAsk) {
    const message = `${what} has to be confirmed, and there is no terminal to ask on`;
    const hint = 'add --yes, or --dry-run to see what it would do';
    throw new RouterError('CHOICE_NEEDED', message, { hint });
  }
  for (const line of preview) say(line);
  if (!(await terminal.confirm(question))) throw new RouterError('INTERRUPTED', declined, { hint: look });
}
