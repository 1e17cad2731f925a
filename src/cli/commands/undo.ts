import { requireReplacing } from '../../os/platform.js';
import { type UndoAnswer, undo } from '../../router/undo.js';
import { showText } from '../../text.js';
import { switchDeps } from '../adapt.js';
import type { Cli } from '../cli.js';
import { compose } from '../compose.js';
import { DONE, personIn, slotOf, type UndoDocument } from '../documents.js';
import type { HostOptions } from '../options.js';
import { phrase } from '../people.js';

export interface UndoOptions extends HostOptions {
  readonly agent?: string;
  readonly dryRun?: boolean;
}

/** `codex-router undo` */
export async function runUndo(cli: Cli, options: UndoOptions): Promise<void> {
  requireReplacing(cli.platform);
  const parts = compose(cli, options);
  const host = await parts.besideKeychain(() => parts.host());
  const request = { agent: options.agent ?? null, dryRun: options.dryRun ?? false };
  const answer = await undo(switchDeps(cli, parts, host), request);
  const document = documentOf(answer, await parts.repo.list());
  cli.print(document, () => lineOf(document));
  if (cli.json) return;
  for (const { key, is } of document.pins) cli.say(`  session   ${showText(key, 80)}: ${pinText(is)}`);
  if (document.advice !== null) cli.say(`  next      ${showText(document.advice, 300)}`);
  for (const note of document.notes) cli.say(`  note      ${showText(note.text, 300)}`);
}

function documentOf(
  { result, slot, from, to, pins, reload, notes, undoes }: UndoAnswer,
  entries: Parameters<typeof personIn>[1],
): UndoDocument {
  return {
    ...DONE,
    result,
    undoes: undoes.id,
    from: from && personIn(from, entries),
    to: to && personIn(to.identity, entries),
    slot: slotOf(slot),
    pins: pins.map(({ key, was, is, result: outcome }) => ({ key, was, is, result: outcome })),
    effective: reload?.effective ?? null,
    proved: reload?.proved ?? false,
    advice: reload?.advice ?? null,
    notes: [...notes],
  };
}

function lineOf({ result, to, slot }: UndoDocument): string {
  const where = `${slot.profileId} of agent ${showText(slot.agent)}`;
  if (result === 'planned') {
    const what = to === null ? 'would be cleared, as it was before' : `would hold ${phrase(to)} again`;
    return `${where} ${what} (nothing was written)`;
  }
  return to === null ? `${where} is empty again` : `${phrase(to)} is active again in ${where}`;
}

function pinText(is: string | null): string {
  return is === null ? 'no longer pinned, as before' : `pinned to ${showText(is)}, as before`;
}
