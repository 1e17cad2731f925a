import { requireReplacing } from '../../os/platform.js';
import type { IndexEntry } from '../../repo/repo.js';
import { type Ejection, eject, previewEject } from '../../router/eject.js';
import { candidateOf } from '../../router/resolve.js';
import { showText } from '../../text.js';
import { switchDeps } from '../adapt.js';
import type { Cli } from '../cli.js';
import { compose } from '../compose.js';
import { confirm } from '../confirm.js';
import { DONE, type EjectDocument, personIn, slotOf } from '../documents.js';
import type { HostOptions } from '../options.js';
import { phrase } from '../people.js';

export interface EjectOptions extends HostOptions {
  readonly agent?: string;
  readonly yes?: boolean;
  readonly dryRun?: boolean;
}

/** `codex-router eject`: gives OpenClaw every login, so that it works without codex-router. Previews, asks. */
export async function runEject(cli: Cli, options: EjectOptions): Promise<void> {
  requireReplacing(cli.platform);
  const parts = compose(cli, options);
  const host = await parts.besideKeychain(parts.host);
  const { stateDir } = host.summary;
  const deps = switchDeps(cli, parts, host);
  const repo = await deps.opening;
  const agent = options.agent ?? null;
  const planned = await previewEject(deps, repo, agent);
  if (options.dryRun || planned.result === 'already-ejected') {
    const document = ejectDocument(stateDir, planned, await repo.list());
    return cli.print(document, () => preview(document).join('\n'));
  }
  if (!options.yes) {
    await confirm(cli, {
      preview: preview(ejectDocument(stateDir, planned, await repo.list())),
      question: 'Hand these logins to OpenClaw?',
      what: 'an eject',
      declined: 'nothing was changed',
      look: 'codex-router eject --dry-run',
    });
  }
  const document = ejectDocument(stateDir, await eject(deps, repo, agent), await repo.list());
  cli.print(document, () => summary(document));
  if (cli.json) return;
  for (const line of [...lines(document), ...notesOf(document)]) cli.say(line);
}

export function ejectDocument(
  stateDir: string,
  { result, slot, occupant, added, there, left, disowns, reload, notes }: Ejection,
  entries: readonly IndexEntry[],
): EjectDocument {
  return {
    ...DONE,
    result,
    stateDir,
    slot: slotOf(slot),
    occupant: occupant === null ? null : personIn(occupant, entries),
    added: added.map(({ entry, profileId }) => ({ identity: candidateOf(entry), profileId })),
    there: there.map(({ entry, profileId, agent }) => ({ identity: candidateOf(entry), profileId, agent })),
    left: left.map(({ entry, why, remedy }) => ({ identity: candidateOf(entry), why, remedy })),
    disowned: disowns || result === 'ejected',
    effective: reload?.effective ?? null,
    proved: reload?.proved ?? false,
    notes: [...notes],
  };
}

function summary({ result, added }: EjectDocument): string {
  if (result === 'already-ejected') return 'OpenClaw works without codex-router already';
  const count = added.length === 1 ? '1 login' : `${added.length} logins`;
  return `OpenClaw works without codex-router now; ${count} went into it`;
}

function preview(document: EjectDocument): string[] {
  const { result, stateDir, slot, occupant } = document;
  if (result === 'already-ejected') return [summary(document), ...lines(document), ...notesOf(document)];
  const who = occupant === null ? 'empty' : `${phrase(occupant)}, and stays so`;
  return [
    `will leave the OpenClaw in ${showText(stateDir, 200)} working without codex-router`,
    `  slot      ${slot.profileId} of agent ${showText(slot.agent)}: ${who}`,
    ...lines(document),
    '  order     the slot first, then every other login; session pins stay as they are',
    '  after     codex-router use <one of them> routes it again',
    ...notesOf(document),
  ];
}

/** What each login comes to. */
export function lines({ added, there, left }: Pick<EjectDocument, 'added' | 'there' | 'left'>): string[] {
  return [
    ...added.map(
      ({ identity, profileId }) => `  goes      ${phrase(identity)} -> ${showText(profileId, 100)}`,
    ),
    ...there.map(
      ({ identity, profileId, agent }) =>
        `  is there  ${phrase(identity)}: ${showText(profileId, 100)} of agent ${showText(agent)}`,
    ),
    ...left.map(
      ({ identity, why, remedy }) =>
        `  stays     ${phrase(identity)}: ${showText(why, 200)}; ${showText(remedy, 200)}`,
    ),
  ];
}

function notesOf({ notes }: EjectDocument): string[] {
  return notes.map(({ text }) => `  note      ${showText(text, 300)}`);
}
