import { requireReplacing } from '../../os/platform.js';
import { carryOutRemoval, planRemoval, type Removal } from '../../router/remove.js';
import { candidateOf, resolve } from '../../router/resolve.js';
import { showText } from '../../text.js';
import { hostOrNull, writeDeps } from '../adapt.js';
import type { Cli } from '../cli.js';
import { compose } from '../compose.js';
import { confirm } from '../confirm.js';
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
    ...writeDeps(cli, parts),
    repo: parts.repo,
    open: parts.openRepo,
    host: await hostOrNull(parts),
    hostAt: parts.hostAt,
  };
  const entry = resolve(selector, await parts.repo.list());
  const removal = await planRemoval(deps, entry, options.fromSlot ?? false);
  if (options.dryRun) {
    const document = removeDocument(removal, 'planned');
    return cli.print(document, () => preview(document).join('\n'));
  }
  if (!options.yes) {
    await confirm(cli, {
      preview: preview(removeDocument(removal, 'planned')),
      question: 'Forget this identity here?',
      what: 'a removal',
      declined: 'nothing was removed',
      look: 'codex-router list',
    });
  }
  const done = await carryOutRemoval(deps, removal, options.fromSlot ?? false);
  const document = removeDocument(done, 'removed');
  cli.print(document, () => forgotten(document));
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
    '  tokens    the sealed record is deleted; nothing is revoked at the issuer (codex-router logout does that too)',
    ...clearedSlots.map(
      ({ agent, profileId }) => `  slot      ${profileId} of agent ${showText(agent)} is cleared`,
    ),
    ...(unpinned.length > 0 ? [`  sessions  ${unpinned.length} pin(s) are taken off`] : []),
    ...(clearedSlots.length > 0 ? [`  then      ${nextText(next)}`] : []),
    ...notes.map(({ text }) => `  note      ${showText(text, 300)}`),
  ];
}

function forgotten(document: RemoveDocument): string {
  return `${phrase(document.identity)} is forgotten here, and not revoked: other copies of the login still work${cleared(document)}`;
}

function cleared({ clearedSlots, next }: RemoveDocument): string {
  return clearedSlots.length === 0 ? '' : `; the slot is empty, ${nextText(next)}`;
}

export function nextText(next: readonly string[]): string {
  if (next.length === 0) return 'OpenClaw has no Codex login left: codex-router use <another>';
  return `OpenClaw uses ${next.map((id) => showText(id, 60)).join(', ')} next`;
}
