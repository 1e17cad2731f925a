import { RouterError } from '../../errors.js';
import { requireReplacing } from '../../os/platform.js';
import { carryOutRemoval, planRemoval, type Removal } from '../../router/remove.js';
import { candidateOf, resolve } from '../../router/resolve.js';
import type { Host } from '../../slot/host.js';
import { showText } from '../../text.js';
import type { Cli } from '../cli.js';
import { compose } from '../compose.js';
import { DONE, type RemoveDocument, slotOf } from '../documents.js';
import type { HostOptions } from '../options.js';
import { phrase } from '../people.js';

export interface RemoveOptions extends HostOptions {
  readonly yes?: boolean;
  readonly fromSlot?: boolean;
  readonly dryRun?: boolean;
}

/** `codex-router remove <selector>`: previews, asks, forgets. Revokes nothing. */
export async function runRemove(cli: Cli, selector: string, options: RemoveOptions): Promise<void> {
  requireReplacing(cli.platform);
  const parts = compose(cli, options);
  const deps = {
    repo: parts.repo,
    open: parts.openRepo,
    host: await absentAsNull(parts.host()),
    hostAt: parts.hostAt,
    withLock: parts.withLock,
    critical: cli.interruption.critical,
    now: cli.now,
    onRefreshing: () => cli.say('waiting for OpenClaw to finish refreshing the login in the slot ...'),
    signal: cli.interruption.signal,
  };
  const entry = resolve(selector, await parts.repo.list());
  const removal = await planRemoval(deps, entry, options.fromSlot ?? false);
  if (options.dryRun) {
    const document = removeDocument(removal, 'planned');
    return cli.print(document, () => preview(document).join('\n'));
  }
  if (!options.yes) {
    if (!cli.terminal.canAsk) {
      throw new RouterError(
        'CHOICE_NEEDED',
        'a removal has to be confirmed, and there is no terminal to ask on',
        {
          hint: 'add --yes, or --dry-run to see what it would do',
        },
      );
    }
    for (const line of preview(removeDocument(removal, 'planned'))) cli.say(line);
    if (!(await cli.terminal.confirm('Forget this identity here?'))) {
      throw new RouterError('INTERRUPTED', 'nothing was removed', { hint: 'codex-router list' });
    }
  }
  const done = await carryOutRemoval(deps, removal, options.fromSlot ?? false);
  const document = removeDocument(done, 'removed');
  cli.print(document, () => `${phrase(document.identity)} is forgotten here${cleared(document)}`);
  if (!cli.json) for (const { text } of document.notes) cli.say(`  note      ${showText(text, 300)}`);
}

function removeDocument(removal: Removal, result: RemoveDocument['result']): RemoveDocument {
  return {
    ...DONE,
    result,
    identity: candidateOf(removal.entry),
    clearedSlots: removal.slots.map(({ slot }) => slotOf(slot.address)),
    unpinned: removal.unpin.map(({ key }) => key),
    next: [...removal.next],
    notes: [...removal.notes],
  };
}

function preview({ identity, clearedSlots, unpinned, next, notes }: RemoveDocument): string[] {
  return [
    `will forget ${phrase(identity)}`,
    `  account   ${showText(identity.accountId, 80)} / ${showText(identity.userId, 80)}`,
    '  tokens    the sealed record is deleted; nothing is revoked at the server',
    ...clearedSlots.map(
      ({ agent, profileId }) => `  slot      ${profileId} of agent ${showText(agent)} is cleared`,
    ),
    ...(unpinned.length > 0 ? [`  sessions  ${unpinned.length} pin(s) are taken off`] : []),
    ...(clearedSlots.length > 0 ? [`  then      ${nextText(next)}`] : []),
    ...notes.map(({ text }) => `  note      ${showText(text, 300)}`),
  ];
}

function cleared({ clearedSlots, next }: RemoveDocument): string {
  return clearedSlots.length === 0 ? '' : `; the slot is empty, ${nextText(next)}`;
}

function nextText(next: readonly string[]): string {
  if (next.length === 0) return 'OpenClaw has no Codex login left: codex-router use <another>';
  return `OpenClaw uses ${next.map((id) => showText(id, 60)).join(', ')} next`;
}

async function absentAsNull(host: Promise<Host>): Promise<Host | null> {
  try {
    return await host;
  } catch (error) {
    if (error instanceof RouterError && error.code === 'HOST_NOT_FOUND') return null;
    throw error;
  }
}
