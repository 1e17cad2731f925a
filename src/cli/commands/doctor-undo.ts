import { requireReplacing } from '../../os/platform.js';
import { mendBackupsIn } from '../../repo/mend-backups.js';
import { undoMend } from '../../router/mend-undo.js';
import { showText } from '../../text.js';
import { hostOrNull, writeDeps } from '../adapt.js';
import type { Cli } from '../cli.js';
import { compose } from '../compose.js';
import { DONE, type DoctorUndoDocument } from '../documents.js';
import type { HostOptions } from '../options.js';

/** `codex-router doctor --undo [id]`: takes one mend back, the last one unless told. */
export async function runDoctorUndo(cli: Cli, options: HostOptions, which: string | true): Promise<void> {
  requireReplacing(cli.platform);
  const parts = compose(cli, options);
  const host = await parts.besideKeychain(() => hostOrNull(parts));
  const repo = await parts.openRepo();
  const backups = mendBackupsIn(parts.folders.data, repo, cli.now);
  const deps = { ...writeDeps(cli, parts), host, backups };
  const { id, text, notes } = await undoMend(deps, repo, which === true ? null : which);
  const document: DoctorUndoDocument = { ...DONE, result: 'undone', id, text, notes: [...notes] };
  cli.print(document, () => `taken back: ${showText(text, 600)}`);
  if (!cli.json) for (const note of document.notes) cli.say(`  note      ${showText(note.text, 300)}`);
}
