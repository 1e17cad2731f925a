import { RouterError } from '../../errors.js';
import { identityKey } from '../../identity.js';
import { requireReplacing } from '../../os/platform.js';
import { type Lent, lend } from '../../router/lend.js';
import { type LendPlan, planLending } from '../../router/lend-plan.js';
import { shortTime } from '../../router/lent.js';
import { candidateOf, resolve, selectorOf, storedEntries } from '../../router/resolve.js';
import { showText } from '../../text.js';
import { lendDeps } from '../adapt.js';
import type { Cli } from '../cli.js';
import { compose } from '../compose.js';
import { confirm } from '../confirm.js';
import { DONE, type LendDocument, personIn } from '../documents.js';
import type { HostOptions } from '../options.js';
import { phrase } from '../people.js';

export interface LendOptions extends HostOptions {
  readonly to: 'codex';
  readonly move?: boolean;
  readonly take?: boolean;
  readonly yes?: boolean;
  readonly dryRun?: boolean;
}

/** `codex-router lend <selector> --to codex` */
export async function runLend(cli: Cli, selector: string, options: LendOptions): Promise<void> {
  requireReplacing(cli.platform);
  const parts = compose(cli, options);
  const what = options.move ? 'grant' : 'access';
  const deps = await lendDeps(cli, parts, options.move ?? false);
  const { identity } = resolve(selector, await storedEntries(deps));
  const repo = await deps.opening;
  const planned = await planLending(deps, repo, identity, what);
  if (!options.dryRun) await agree(cli, planned, options);
  const lent = options.dryRun ? null : await lend(deps, repo, planned);
  const { entry, home, until, notes } = lent ?? planned;
  const displaced = lent === null ? (planned.takes?.identity ?? null) : (lent.displaced?.identity ?? null);
  const document: LendDocument = {
    ...DONE,
    result: lent === null ? 'planned' : what === 'grant' ? 'moved' : lent.renews ? 'renewed' : 'lent',
    identity: candidateOf(entry),
    to: 'codex',
    folder: home.folder,
    what,
    until,
    displaced: displaced === null ? null : personIn(displaced, await parts.repo.list()),
    notes: [...notes],
  };
  cli.print(document, () => (lent === null ? planText(document) : text(document, lent)));
  if (!cli.json) for (const note of document.notes) cli.say(`  note      ${showText(note.text, 400)}`);
}

/** A login that is there is taken out only where a person has said so. */
async function agree(cli: Cli, { takes, home }: LendPlan, { take, yes }: LendOptions): Promise<void> {
  if (takes === null || take || yes) return;
  const who = phrase(personIn(takes.identity, []));
  const folder = showText(home.folder, 200);
  if (!cli.terminal.canAsk) {
    throw new RouterError('CHOICE_NEEDED', `Codex is signed in as ${who} in ${folder}`, {
      hint: 'add --take to store that login here first, as import --take does; unlend puts it back',
    });
  }
  await confirm(cli, {
    preview: [
      `Codex is signed in as ${who} in ${folder}`,
      '  first     that login is taken out and stored here; unlend puts it back',
    ],
    question: 'Take it out?',
    what: 'taking it out',
    declined: 'nothing was lent',
    look: 'codex-router list',
  });
}

function planText({ identity, folder, what, until, displaced }: LendDocument): string {
  return [
    'plan (nothing was written)',
    `  lend      ${phrase(identity)} to the Codex CLI in ${showText(folder, 200)}`,
    what === 'grant'
      ? '  what      the whole login: Codex refreshes it until unlend'
      : `  what      its access token only${until === null ? '' : `, until ${shortTime(until)}`}`,
    ...(displaced === null
      ? []
      : [`  first     ${phrase(displaced)} is taken out there and stored; unlend puts it back`]),
  ].join('\n');
}

function text({ result, identity, folder, until, displaced }: LendDocument, { entry }: Lent): string {
  const who = phrase(identity);
  const where = `the Codex CLI in ${showText(folder, 200)}`;
  const back = `codex-router unlend ${showText(entry.alias === null ? identityKey(entry.identity) : selectorOf(entry), 200)}`;
  const then = displaced === null ? '' : `, and puts ${phrase(displaced)} back there`;
  if (result === 'moved') {
    return `${who} was handed over to ${where}, which refreshes it from now on\nnext: ${back} takes it home${then}`;
  }
  const time = until === null ? '' : ` until ${shortTime(until)}`;
  return `${who} is lent to ${where}${time}: it can use the login, not spend or revoke it\nnext: ${back} ends it${then}`;
}
