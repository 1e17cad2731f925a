import { RouterError } from '../../errors.js';
import type { Grant } from '../../grant.js';
import type { OpenRepo } from '../../repo/repo.js';
import { examine } from '../../router/doctor.js';
import type { Finding } from '../../router/finding.js';
import { inOrder } from '../../router/finding-codes.js';
import { leftFindings } from '../../router/finish-adds.js';
import { askingOnce } from '../../router/held.js';
import { fileFindings, hostFindings } from '../../router/host-findings.js';
import { houseFindings } from '../../router/house-findings.js';
import { layerFindings } from '../../router/layer-findings.js';
import { arrivalFindings } from '../../router/left-arrivals.js';
import { mendChoice } from '../../router/mend-slot.js';
import { loginsIn } from '../../router/places.js';
import type { Host, HostNote } from '../../slot/host.js';
import { hostOrNull, switchDeps } from '../adapt.js';
import type { Cli } from '../cli.js';
import { compose, type Parts } from '../compose.js';
import type { HostOptions } from '../options.js';
import { leftArrivals } from './finish-adds.js';

export interface LookOptions extends HostOptions {
  readonly agent?: string;
  readonly session?: string;
}

/** The vault once it is open: a person is asked for its key once, however often is looked. */
export interface OpenedVault {
  repo: OpenRepo | null;
}

export interface LookedOver {
  /** In the order in which they are shown. */
  readonly findings: readonly Finding[];
  readonly notes: readonly HostNote[];
  readonly host: Host | null;
  /** Why the vault, its index or the host told nothing; a finding says it too. */
  readonly failure: RouterError | null;
}

/**
 * The whole look of `doctor`, on everything as it is now; it writes nothing and refreshes nothing.
 * @throws AGENT_NOT_FOUND, SESSION_NOT_FOUND
 */
export async function lookOver(cli: Cli, options: LookOptions, vault: OpenedVault): Promise<LookedOver> {
  const parts = compose(cli, options);
  const locate = () => orError(() => hostOrNull(parts));
  const located = await (vault.repo === null ? parts.besideKeychain(locate) : locate());
  const host = located instanceof RouterError ? null : located;
  const opened = vault.repo ?? (await orError(() => parts.openRepo()));
  if (!(opened instanceof RouterError)) vault.repo = opened;
  const known =
    opened instanceof RouterError
      ? opened
      : await orError(() => storedFindings(cli, parts, host, opened, options));
  const failure = [known, located].find((one) => one instanceof RouterError) ?? null;
  const house = await houseFindings({
    vault: parts.repoDeps,
    platform: cli.platform,
    opened,
    placed: await placedIn(host),
    withLock: parts.withLock,
    critical: cli.interruption.critical,
    now: cli.now,
  });
  // A vault that is closed, and an index that is damaged, are findings of the house.
  const isTold = opened instanceof RouterError || house.some(({ code }) => code === 'INDEX_DAMAGED');
  const findings = [
    ...(located instanceof RouterError ? [closed(located)] : []),
    ...(known instanceof RouterError && !isTold ? [unlooked(known)] : []),
    ...(known instanceof RouterError ? (host === null ? [] : await fileFindings(host)) : known),
    ...leftFindings(await (await parts.isolatedLogins()).left()),
    ...arrivalFindings(await leftArrivals(cli, parts)),
    ...house,
  ];
  return { findings: inOrder(findings), notes: host?.summary.notes ?? [], host, failure };
}

function closed({ message, hint }: RouterError): Finding {
  const text = `the OpenClaw here was not looked at: ${message}`;
  return { code: 'HOST_CLOSED', part: 'custody', danger: false, text, remedy: hint ?? null, mend: null };
}

function unlooked({ message, hint }: RouterError): Finding {
  const text = `the logins and who holds them were not looked at: ${message}`;
  return { code: 'NOT_LOOKED_AT', part: 'custody', danger: false, text, remedy: hint ?? null, mend: null };
}

/** What needs the vault, or what is listed in it. */
async function storedFindings(
  cli: Cli,
  parts: Parts,
  host: Host | null,
  repo: OpenRepo,
  { agent, session }: LookOptions,
): Promise<readonly Finding[]> {
  const { hostAt, outside, journal } = parts;
  const homes = await parts.codexHomes();
  const look = { host, hostAt, outside, journal, homes, now: cli.now };
  if (host === null) return examine(look, repo);
  // What its gateway holds is asked for by who looks at the host and by who looks at the layers.
  return askingOnce(host, async (asked) => {
    const deps = switchDeps(cli, { ...parts, openRepo: async () => repo }, asked);
    const found = await examine({ ...look, finish: () => mendChoice(deps) }, repo);
    // A slot or session that cannot be read is told by who looked at it first.
    const inHost = await orNone(() => hostFindings(deps));
    const request = { agent: agent ?? null, session: session ?? null };
    const layers = await orNone(() => layerFindings(deps, request));
    // What the host's own finding mends is the same thing: looked at anew after that, the layer is told if it is not.
    const isTold = ({ part }: Finding) => inHost.some((one) => one.part === part && one.mend !== null);
    return [...found, ...inHost, ...layers.filter((layer) => !isTold(layer))];
  });
}

async function placedIn(host: Host | null): Promise<readonly Grant[]> {
  const found: Grant[] = [];
  const slots = await orError(async () => (await host?.allSlots()) ?? []);
  for (const slot of slots instanceof RouterError ? [] : slots) {
    const reading = await orError(() => slot.read());
    if (!(reading instanceof RouterError))
      found.push(...loginsIn(slot, reading).map(({ login }) => login.grant));
  }
  return found;
}

async function orNone(work: () => Promise<readonly Finding[]>): Promise<readonly Finding[]> {
  const found = await orError(work);
  return found instanceof RouterError ? [] : found;
}

async function orError<T>(work: () => Promise<T>): Promise<T | RouterError> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof RouterError && !MEANT.has(error.code)) return error;
    throw error;
  }
}

/** What is wrong with what was typed is no finding. */
const MEANT: ReadonlySet<string> = new Set(['AGENT_NOT_FOUND', 'SESSION_NOT_FOUND']);
