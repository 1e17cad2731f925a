import { requireReplacing } from '../../os/platform.js';
import { type Logout, logout, planLogout } from '../../router/logout.js';
import { candidateOf, resolve } from '../../router/resolve.js';
import { showText } from '../../text.js';
import { hostOrNull, refreshDeps } from '../adapt.js';
import type { Cli } from '../cli.js';
import { compose } from '../compose.js';
import { confirm } from '../confirm.js';
import { DONE, type LogoutDocument, slotOf } from '../documents.js';
import { phrase } from '../people.js';
import { nextText, type RemoveOptions } from './remove.js';

/** `codex-router logout <selector>`: previews, asks, revokes at the issuer, then forgets. */
export async function runLogout(cli: Cli, selector: string, options: RemoveOptions): Promise<void> {
  requireReplacing(cli.platform);
  const parts = compose(cli, options);
  const host = await parts.besideKeychain(() => hostOrNull(parts));
  const { opening, ...rest } = refreshDeps(cli, parts);
  const repo = await opening;
  const deps = { ...rest, repo, host, revocation: parts.revocation };
  const entry = resolve(selector, await repo.list());
  const fromSlot = options.fromSlot ?? false;
  const plan = await planLogout(deps, entry, fromSlot);
  if (options.dryRun) {
    const document = documentOf(plan, 'planned');
    return cli.print(document, () => preview(document).join('\n'));
  }
  if (!options.yes) {
    await confirm(cli, {
      preview: preview(documentOf(plan, 'planned')),
      question: 'Revoke this login and forget it here?',
      what: 'a logout',
      declined: 'nothing was revoked and nothing was removed',
      look: 'codex-router list',
    });
  }
  cli.say(`revoking the login of ${phrase(candidateOf(entry))} ...`);
  const document = documentOf(await logout(deps, entry, fromSlot), 'logged-out');
  cli.print(document, () => text(document));
  if (!cli.json) for (const { text } of document.notes) cli.say(`  note      ${showText(text, 300)}`);
}

function documentOf(done: Logout, result: LogoutDocument['result']): LogoutDocument {
  const { entry, slots, unpin, next, notes } = done.removal;
  return {
    ...DONE,
    result,
    identity: candidateOf(entry),
    revoked: result === 'logged-out',
    clearedSlots: slots.map(({ slot }) => slotOf(slot.address)),
    unpinned: unpin.map(({ key }) => key),
    next: [...next],
    sealed: done.sealed.length,
    notes: [...notes],
  };
}

function preview({ identity, clearedSlots, unpinned, next, sealed, notes }: LogoutDocument): string[] {
  return [
    `will log out ${phrase(identity)}`,
    `  account   ${showText(identity.accountId, 80)} / ${showText(identity.userId, 80)}`,
    '  tokens    the stored login is revoked at the issuer, wherever copies of it lie; then the sealed record is deleted',
    '            (codex-router remove only forgets: the login itself stays valid)',
    ...(sealed > 0
      ? [`  back-ups  ${sealed} other login(s) of it, sealed here, are revoked and deleted too`]
      : []),
    ...clearedSlots.map(
      ({ agent, profileId }) => `  slot      ${profileId} of agent ${showText(agent)} is cleared`,
    ),
    ...(unpinned.length > 0 ? [`  sessions  ${unpinned.length} pin(s) are taken off`] : []),
    ...(clearedSlots.length > 0 ? [`  then      ${nextText(next)}`] : []),
    ...notes.map(({ text }) => `  note      ${showText(text, 300)}`),
  ];
}

function text({ identity, clearedSlots, next, sealed }: LogoutDocument): string {
  const also = sealed === 0 ? '' : `, with ${sealed} older one(s) of it from sealed back-ups`;
  const then = clearedSlots.length === 0 ? '' : `; the slot is empty, ${nextText(next)}`;
  return `the stored login of ${phrase(identity)} is revoked at the issuer${also}, and forgotten here${then}`;
}
