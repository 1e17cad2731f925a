import { requireReplacing } from '../../os/platform.js';
import { candidateOf, storedEntries } from '../../router/resolve.js';
import { chooseLent, type Unlent, unlend } from '../../router/unlend.js';
import { showText } from '../../text.js';
import { lendDeps } from '../adapt.js';
import type { Cli } from '../cli.js';
import { compose } from '../compose.js';
import { DONE, type UnlendDocument } from '../documents.js';
import type { HostOptions } from '../options.js';
import { phrase } from '../people.js';

/** `codex-router unlend [selector]` */
export async function runUnlend(cli: Cli, selector: string | undefined, options: HostOptions): Promise<void> {
  requireReplacing(cli.platform);
  const parts = compose(cli, options);
  const homes = await parts.codexHomes();
  const stored = await parts.repo.list();
  if (selector === undefined && stored.every(({ lent }) => lent === null || lent.own)) return show(cli, null);
  const deps = await lendDeps(cli, parts, false);
  const entry = await chooseLent(selector, await storedEntries(deps), homes);
  if (entry === null || entry.lent === null) return show(cli, entry && { ...NOT_LENT, entry });
  show(cli, await unlend(deps, await deps.opening, entry.identity));
}

const NOT_LENT = { lent: null, removed: false, handBack: null, restored: null, notes: [] } as const;

function show(cli: Cli, unlent: Unlent | null): void {
  const { entry = null, lent = null, restored = null } = unlent ?? {};
  const document: UnlendDocument = {
    ...DONE,
    result: lent === null ? 'unchanged' : 'unlent',
    identity: entry === null ? null : candidateOf(entry),
    folder: lent?.folder ?? null,
    what: lent?.what ?? null,
    removed: unlent?.removed ?? false,
    handBack: unlent?.handBack ?? null,
    restored: restored === null ? null : candidateOf(restored),
    notes: [...(unlent?.notes ?? [])],
  };
  cli.print(document, () => text(document));
  if (!cli.json) for (const note of document.notes) cli.say(`  note      ${showText(note.text, 400)}`);
}

const CAME_HOME = {
  unchanged: 'came home as it was',
  'taken-home': 'came home, refreshed by Codex meanwhile',
  'repo-newer': 'is removed there; a newer login of it is stored, and that one is kept sealed',
} as const;

function text({ identity, what, folder, removed, handBack, restored }: UnlendDocument): string {
  if (identity === null) return 'nothing is lent';
  const who = phrase(identity);
  if (what === null || folder === null) return `${who} is not lent`;
  const where = showText(folder, 200);
  const back = restored === null ? '' : `; ${phrase(restored)} is signed in there again`;
  if (handBack !== null) return `${who} ${CAME_HOME[handBack]} (${where})${back}`;
  return `${who} is not lent any more${removed ? `: removed from ${where}` : ''}${back}`;
}
