import { RouterError } from '../../errors.js';
import { identityKey } from '../../identity.js';
import { requireReplacing } from '../../os/platform.js';
import { failoverLogIn } from '../../repo/failover-log.js';
import { type LeaveAnswer, leaveOwnSlot } from '../../router/leave-own-slot.js';
import { showText } from '../../text.js';
import { switchDeps } from '../adapt.js';
import { type Cli, painter } from '../cli.js';
import { compose, type Parts } from '../compose.js';
import { leaveDocument } from '../failover-document.js';
import type { RoundOptions } from '../failover-look.js';
import { maskedError, namesPeople, peopleOf } from '../failover-people.js';
import { readSettings } from '../settings.js';
import { leaveText } from './failover-text.js';

export interface FailoverLeaveOptions
  extends Pick<RoundOptions, 'session' | 'stateDir' | 'profile' | 'slot' | 'via'> {
  readonly apply?: boolean;
  readonly names?: boolean;
  /** Every own slot of the OpenClaw. */
  readonly all?: boolean;
}

/** `codex-router failover leave`: the named sessions go back from their own slot to the one they share with others. */
export async function runFailoverLeave(cli: Cli, options: FailoverLeaveOptions): Promise<void> {
  const { apply = false } = options;
  if (apply) requireReplacing(cli.platform);
  const parts = compose(cli, options);
  const isNamed = namesPeople(cli, options);
  try {
    const answer = await leave(cli, parts, options);
    if (apply) await log(cli, parts, answer);
    const who = answer.slots.flatMap(({ identity }) => identity ?? []);
    const document = leaveDocument(answer, peopleOf(await parts.repo.list(), isNamed, who));
    cli.print(document, () => leaveText(document, { now: cli.now(), paint: painter(cli) }));
    if (!cli.json) for (const note of document.notes) cli.say(`note: ${showText(note.text, 300)}`);
  } catch (error) {
    throw maskedError(error, peopleOf(await parts.repo.list().catch(() => []), isNamed));
  }
}

async function leave(
  cli: Cli,
  parts: Parts,
  { apply = false, all = false, session = [] }: FailoverLeaveOptions,
): Promise<LeaveAnswer> {
  if (all && session.length > 0) {
    throw new RouterError('USAGE', '--all and --session exclude each other', {
      hint: 'codex-router failover leave --help',
    });
  }
  const sessions = all ? null : await meant(parts, session);
  const host = await parts.besideKeychain(() => parts.host());
  return leaveOwnSlot(switchDeps(cli, parts, host), {
    ...(sessions !== null && { sessions }),
    dryRun: !apply,
  });
}

/** @throws FAILOVER_NO_SESSIONS */
async function meant({ folders }: Parts, named: readonly string[]): Promise<readonly string[]> {
  const { keysMeant } = await import('../../router/failover-sessions.js');
  return keysMeant(named, (await readSettings(folders.config)).failover.sessions);
}

async function log(cli: Cli, parts: Parts, { slots }: LeaveAnswer): Promise<void> {
  const keeper = failoverLogIn(parts.folders.data);
  const nothing = { to: null, reason: null, status: null, held: null, code: null } as const;
  try {
    await parts.withLock(async () => {
      for (const { slot, identity, pins } of slots) {
        const sessions = pins.map(({ key }) => key);
        const from = identity && identityKey(identity);
        await keeper.append({
          ...nothing,
          at: cli.now(),
          kind: 'left',
          apply: true,
          slot: slot.id,
          sessions,
          from,
        });
      }
    });
  } catch (error) {
    // What was done is done, and is shown.
    if (!(error instanceof RouterError)) throw error;
    cli.say(`note: the log was not written: ${error.message}`);
  }
}
