import { EXIT_OF, RouterError } from '../../errors.js';
import { type VaultStatus, vaultStatus } from '../../repo/vault-status.js';
import type { Finding } from '../../router/finding.js';
import { leftFindings } from '../../router/finish-adds.js';
import { arrivalFindings } from '../../router/left-arrivals.js';
import { noteOf, type Status, status } from '../../router/status.js';
import type { HostNote } from '../../slot/host.js';
import type { Cli } from '../cli.js';
import { compose, type Parts } from '../compose.js';
import { DONE, personIn, type StatusDocument, slotOf } from '../documents.js';
import type { HostOptions } from '../options.js';
import { statusText } from '../status-text.js';
import { leftArrivals } from './finish-adds.js';

/** `codex-router status`: looks, and only looks. */
export async function runStatus(cli: Cli, options: HostOptions): Promise<void> {
  const parts = compose(cli, options);
  const [seen, vault, more] = await Promise.all([
    status(parts.repo, parts.host, parts.journal, cli.env),
    vaultOrTrouble(parts),
    Promise.all([orNotes(leftoverNotes(parts)), orNotes(leftNotes(cli, parts))]),
  ]);
  const document = await documentOf(seen, vault, more.flat(), parts);
  // What is ours and cannot be read is no answer to a program, though a person sees the rest.
  const failure = seen.unlisted ?? vault.failure;
  if (failure !== null) cli.exitWith(EXIT_OF[failure.code]);
  cli.print(document, () => statusText(document, cli.terminal.page?.columns ?? null));
}

async function documentOf(
  seen: Status,
  { found, failure }: VaultSeen,
  more: readonly HostNote[],
  { repo }: Parts,
): Promise<StatusDocument> {
  const { host, session, interrupted, identities } = seen;
  const entries = identities === null ? [] : await repo.list();
  return {
    ...DONE,
    identities,
    host: host && {
      stateDir: host.stateDir,
      layout: host.layout,
      release: host.release,
      provider: host.provider,
    },
    trouble: seen.trouble && {
      code: seen.trouble.code,
      message: seen.trouble.message,
      hint: seen.trouble.hint ?? null,
    },
    slots: seen.slots.map(({ address, occupant, entry, problem, selectable, others, gateway }) => ({
      ...slotOf(address),
      occupant: occupant && personIn(occupant, entries),
      stored: entry !== null,
      selectable,
      others,
      problem,
      gateway: gateway && {
        taken: gateway.taken,
        holds: gateway.holds && personIn(gateway.holds, entries),
        why: gateway.why,
      },
    })),
    session: session && { ...session, companions: session.companions.map((one) => ({ ...one })) },
    interrupted,
    vault: {
      exists: found?.exists ?? null,
      folder: found?.folder ?? null,
      keySources: (found?.keys ?? []).map(({ kind }) => kind),
      keys: (found?.keys ?? []).map(({ kind, primary, where }) => ({ kind, primary, where })),
      warnings: [...(found?.warnings ?? [])],
    },
    notes: toldOnce([...seen.notes, ...(failure === null ? [] : [noteOf(failure)]), ...more]),
  };
}

interface VaultSeen {
  readonly found: VaultStatus | null;
  readonly failure: RouterError | null;
}

async function vaultOrTrouble({ repoDeps }: Parts): Promise<VaultSeen> {
  try {
    return { found: await vaultStatus(repoDeps), failure: null };
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    return { found: null, failure: error };
  }
}

/** A damaged index is met by several looks, some of which name no remedy. */
function toldOnce(notes: readonly HostNote[]): HostNote[] {
  return notes.filter(
    ({ code, text }, place) =>
      !notes.some((other, at) => at < place && other.code === code && other.text.startsWith(text)),
  );
}

async function orNotes(work: Promise<readonly HostNote[]>): Promise<readonly HostNote[]> {
  try {
    return await work;
  } catch (error) {
    return [noteOf(error)];
  }
}

async function leftNotes(cli: Cli, parts: Parts): Promise<readonly HostNote[]> {
  const adds = leftFindings(await (await parts.isolatedLogins()).left());
  const arrivals = arrivalFindings(await leftArrivals(cli, parts));
  const told = (does: string) => (finding: Finding) => {
    const { code, text, remedy } = finding;
    return { code, text: remedy === null ? text : `${text}: ${remedy} ${does}` };
  };
  return [...adds.map(told('stores it')), ...arrivals.map(told('revokes it'))];
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
