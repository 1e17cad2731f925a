import { RouterError } from '../../errors.js';
import { vaultStatus } from '../../repo/vault-status.js';
import type { Finding } from '../../router/doctor.js';
import { leftFindings } from '../../router/finish-adds.js';
import { arrivalFindings } from '../../router/left-arrivals.js';
import { status } from '../../router/status.js';
import type { HostNote } from '../../slot/host.js';
import { showText } from '../../text.js';
import type { Cli } from '../cli.js';
import { compose, type Parts } from '../compose.js';
import { DONE, personIn, type StatusDocument, slotOf } from '../documents.js';
import type { HostOptions } from '../options.js';
import { phrase } from '../people.js';
import { leftArrivals } from './finish-adds.js';

/** `codex-router status`: looks, and only looks. */
export async function runStatus(cli: Cli, options: HostOptions): Promise<void> {
  const parts = compose(cli, options);
  const [seen, vault, leftover, adds] = await Promise.all([
    status(parts.repo, parts.host, parts.journal, cli.env),
    vaultStatus(parts.repoDeps),
    leftoverNotes(parts),
    leftNotes(cli, parts),
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
    notes: [...seen.notes, ...leftover, ...adds],
  };
  cli.print(document, () => text(document));
}

async function leftNotes(cli: Cli, parts: Parts): Promise<readonly HostNote[]> {
  const adds = leftFindings(await (await parts.isolatedLogins()).left());
  const arrivals = arrivalFindings(await leftArrivals(cli, parts));
  const noteOf = (does: string) => (finding: Finding) => {
    const { code, text, remedy } = finding;
    return { code, text: remedy === null ? text : `${text}: ${remedy} ${does}` };
  };
  return [...adds.map(noteOf('stores it')), ...arrivals.map(noteOf('revokes it'))];
}

/** A login that an interrupted import took out of the Codex home is nowhere else: somebody has to say so. */
async function leftoverNotes(parts: Parts): Promise<readonly HostNote[]> {
  try {
    const home = await (await parts.logins()).home();
    if ((await home.readLeftover()) === null) return [];
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    // Without a Codex home there is nothing left over in it.
    if (error.code === 'LOGIN_NOT_FOUND') return [];
  }
  const text = 'an import was interrupted with a login half taken over: codex-router import finishes it';
  return [{ code: 'IMPORT_INTERRUPTED', text }];
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
      `warning   the last switch stopped after "${interrupted.step}": codex-router sync finishes it`,
    );
  }
  for (const note of notes) lines.push(`note      ${showText(note.text, 300)}`);
  return lines.join('\n');
}
