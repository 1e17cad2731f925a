import { EXIT, EXIT_OF, RouterError } from '../../errors.js';
import type { RoundAnswer } from '../../router/failover-plan.js';
import type { Cli } from '../cli.js';
import { eventsOf, keepEvents } from '../failover-events.js';
import { roundFor } from '../failover-look.js';
import { maskedError } from '../failover-people.js';
import { type FailoverCheckOptions, runFailoverCheck, showRound, toldRound } from './failover-check.js';

export interface FailoverOnceOptions extends FailoverCheckOptions {
  readonly apply?: boolean;
}

/**
 * `codex-router failover once`: one round; with --apply the switch that it recommends is made, remembered and logged. Ctrl-C ends the looking
 * at once, and a switch that was begun when it is done.
 */
export async function runFailoverOnce(cli: Cli, options: FailoverOnceOptions): Promise<void> {
  if (options.apply !== true) return await runFailoverCheck(cli, options);
  await cli.interruption.critical(async () => {
    const rounds = roundFor(cli, options, 'file');
    const { answer, people } = await toldRound(cli, options, rounds);
    try {
      await keepEvents(rounds.parts(), eventsOf(answer));
    } catch (error) {
      // What was done is done, and is shown.
      if (!(error instanceof RouterError)) throw error;
      cli.say(`note: the log was not written: ${error.message}`);
    }
    const failure = onlyFailure(answer);
    if (failure !== null) throw maskedError(failure, people);
    showRound(cli, answer, people);
    const [failed] = answer.slots.flatMap((slot) => slot.failure ?? []);
    if (failed !== undefined) cli.exitWith(EXIT_OF[failed.code]);
    else if (cli.interruption.signal.aborted) cli.exitWith(EXIT.interrupted);
  });
}

/** Where there is nothing else to tell, a switch that could not be made is the command's error. */
function onlyFailure({ slots }: RoundAnswer): RouterError | null {
  const [only] = slots;
  return slots.length === 1 && only?.outcome === null ? only.failure : null;
}
