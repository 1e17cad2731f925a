import { EXIT } from '../../errors.js';
import { type RoundAnswer, whoIn } from '../../router/failover-plan.js';
import { showText } from '../../text.js';
import { type Cli, painter } from '../cli.js';
import { roundDocument } from '../failover-document.js';
import { type RoundOptions, type Rounds, roundFor } from '../failover-look.js';
import { maskedError, namesPeople, type People, peopleOf } from '../failover-people.js';
import { roundText } from './failover-text.js';

export interface FailoverCheckOptions extends RoundOptions {
  readonly names?: boolean;
}

/** `codex-router failover check`: looks and decides; never writes anything. */
export async function runFailoverCheck(cli: Cli, options: FailoverCheckOptions): Promise<void> {
  const rounds = roundFor(cli, options, 'seen');
  const { answer, people } = await toldRound(cli, options, rounds);
  showRound(cli, answer, people);
}

/** One round, and how the people in it are called. @throws as `Rounds.round`, with nobody named who is not to be */
export async function toldRound(
  cli: Cli,
  options: FailoverCheckOptions,
  rounds: Rounds,
): Promise<{ readonly answer: RoundAnswer; readonly people: People }> {
  const isNamed = namesPeople(cli, options);
  const stored = () => rounds.parts().repo.list();
  try {
    const answer = await rounds.round();
    return { answer, people: peopleOf(await stored(), isNamed, whoIn(answer)) };
  } catch (error) {
    throw maskedError(error, peopleOf(await stored().catch(() => []), isNamed));
  }
}

/** Prints one round; a named session that is not there is a status that a script has to notice. */
export function showRound(cli: Cli, answer: RoundAnswer, people: People): void {
  const document = roundDocument(answer, people);
  cli.print(document, () => roundText(document, { now: cli.now(), paint: painter(cli) }));
  if (!cli.json) for (const note of document.notes) cli.say(`note: ${showText(note.text, 300)}`);
  if (answer.sessions.some(({ runsOn }) => runsOn === 'missing')) cli.exitWith(EXIT.whom);
}
