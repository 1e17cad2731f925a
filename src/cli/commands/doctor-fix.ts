import { mendBackupsIn } from '../../repo/mend-backups.js';
import { encodeBefore } from '../../router/mend-before.js';
import { carryOutMends, type Mending, type MendingDeps } from '../../router/mending.js';
import { showText } from '../../text.js';
import type { Cli } from '../cli.js';
import { compose } from '../compose.js';
import { type LookedOver, type LookOptions, lookOver, type OpenedVault } from './doctor-look.js';

/** Mends what can be mended, and says each on stderr as it goes. */
export async function fix(
  cli: Cli,
  options: LookOptions,
  vault: OpenedVault,
): Promise<Mending & Omit<LookedOver, 'findings'>> {
  const { folders, openRepo } = compose(cli, options);
  let last = await lookOver(cli, options, vault);
  let isFresh = true;
  const mends: MendingDeps = {
    look: async () => {
      if (!isFresh) last = await lookOver(cli, options, vault);
      isFresh = false;
      return last.findings;
    },
    keep: async (before) => {
      vault.repo ??= await openRepo();
      return mendBackupsIn(folders.data, vault.repo, cli.now).keep(
        encodeBefore(before, last.host?.summary.stateDir ?? ''),
      );
    },
    signal: cli.interruption.signal,
    heard: (step) => {
      // Said at once: one that is stopped gives no answer.
      if (step.kind === 'mended' && step.mended.undo !== null) {
        const { code, part, undo } = step.mended;
        cli.say(`  done: ${showText(undo, 300)} takes it back`, { code, part });
      }
      if (step.kind !== 'begins') return;
      const { code, part, mend } = step.finding;
      cli.say(`mending: ${showText(mend?.does ?? '', 300)} ...`, { code, part });
    },
  };
  const mending = await carryOutMends(mends);
  return { ...last, ...mending };
}
