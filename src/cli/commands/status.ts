import { vaultStatus } from '../../repo/vault-status.js';
import { status } from '../../router/status.js';
import { showText } from '../../text.js';
import type { Cli } from '../cli.js';
import { compose } from '../compose.js';
import { DONE, personIn, type StatusDocument, slotOf } from '../documents.js';
import type { HostOptions } from '../options.js';
import { phrase } from '../people.js';

/** `codex-router status`: looks, and only looks. */
export async function runStatus(cli: Cli, options: HostOptions): Promise<void> {
  const parts = compose(cli, options);
  const [seen, vault] = await Promise.all([
    status(parts.repo, parts.host, parts.journal, cli.env),
    vaultStatus(parts.repoDeps),
  ]);
  const { host, session, interrupted } = seen;
  const entries = await parts.repo.list();
  const document: StatusDocument = {
    ...DONE,
    identities: seen.identities,
    host: host && {
      stateDir: host.stateDir,
      layout: host.layout,
      release: host.release,
      provider: host.provider,
    },
    slots: seen.slots.map(({ address, occupant, entry, problem, selectable }) => ({
      ...slotOf(address),
      occupant: occupant && personIn(occupant, entries),
      stored: entry !== null,
      selectable,
      problem,
    })),
    session,
    interrupted,
    vault: {
      exists: vault.exists,
      keySources: vault.keys.map(({ kind }) => kind),
      warnings: [...vault.warnings],
    },
    notes: [...seen.notes],
  };
  cli.print(document, () => text(document));
}

function text({ host, slots, session, interrupted, vault, identities, notes }: StatusDocument): string {
  const lines: string[] = [];
  if (host === null) lines.push('host      none found');
  else {
    const release =
      host.release === null
        ? 'no package found'
        : `OpenClaw ${showText(host.release.version)} (${showText(host.release.source)})`;
    lines.push(`host      ${showText(host.stateDir, 200)}`, `          ${host.layout}, ${release}`);
  }
  for (const { agent, profileId, occupant, stored, selectable, problem } of slots) {
    const who =
      problem !== null
        ? showText(problem, 200)
        : occupant === null
          ? 'empty'
          : `${phrase(occupant)}${stored ? '' : ', not stored here'}`;
    lines.push(`slot      ${profileId} of agent ${showText(agent)}: ${who}`);
    if (occupant !== null && !selectable)
      lines.push('          other logins can be chosen before it: codex-router use mends that');
  }
  if (session !== null) {
    const pin = session.pinnedTo === null ? 'not pinned' : `pinned to ${showText(session.pinnedTo)}`;
    lines.push(
      `session   ${session.key === null ? 'none' : `${showText(session.key, 80)}, ${pin}`} (${showText(session.why, 120)})`,
    );
  }
  lines.push(
    `vault     ${vault.exists ? `${identities} identities, opened with ${vault.keySources.join(' or ')}` : 'none yet'}`,
  );
  for (const warning of vault.warnings) lines.push(`warning   ${warning}`);
  if (interrupted !== null) {
    lines.push(
      `warning   the last switch stopped after "${interrupted.step}": run codex-router use again to finish it`,
    );
  }
  for (const note of notes) lines.push(`note      ${showText(note.text, 300)}`);
  return lines.join('\n');
}
