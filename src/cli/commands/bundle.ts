import { resolve } from 'node:path';
import { RouterError, systemErrorCode } from '../../errors.js';
import { ioError, syncFolder, writeNew } from '../../os/atomic.js';
import { readFile } from '../../os/files.js';
import { lookAtHouse } from '../../repo/house.js';
import type { OpenRepo } from '../../repo/repo.js';
import { type BundleDeps, makeBundle, type Seen } from '../../router/bundle.js';
import { explain } from '../../router/explain.js';
import { houseFindings } from '../../router/house-findings.js';
import { showText } from '../../text.js';
import { hostOrNull } from '../adapt.js';
import { bundleText, READ_FIRST } from '../bundle-text.js';
import { type Cli, encodeDocument } from '../cli.js';
import { compose, type Parts } from '../compose.js';
import { type BundleDocument, type BundleWrittenDocument, DONE } from '../documents.js';
import type { DoctorOptions } from './doctor.js';
import { lookOver } from './doctor-look.js';

declare const CODEX_ROUTER_VERSION: string;

/** `codex-router doctor --bundle [file]`: looks, and only looks; whatever cannot be looked at is named by its code. */
export async function runBundle(cli: Cli, options: DoctorOptions): Promise<void> {
  if (options.fix || options.undo !== undefined)
    throw new RouterError('USAGE', '--bundle only looks', {
      hint: 'codex-router doctor --fix, and --bundle after it',
    });
  const file = typeof options.bundle === 'string' ? resolve(options.bundle) : null;
  const document: BundleDocument = {
    ...DONE,
    kind: 'bundle',
    ...(await makeBundle(await lookedAt(cli, options))),
  };
  if (file === null) {
    cli.print(document, () => bundleText(document));
    return;
  }
  const text = `${cli.json ? encodeDocument(document) : bundleText(document)}\n`;
  await write(file, text);
  const written: BundleWrittenDocument = { ...DONE, kind: 'bundle-written', bytes: Buffer.byteLength(text) };
  cli.print(written, () => `wrote ${showText(file, 300)}. ${READ_FIRST}`);
}

/** 0600, and never over something. @throws USAGE, IO */
async function write(file: string, text: string): Promise<void> {
  try {
    await writeNew(file, text);
  } catch (error) {
    if (systemErrorCode(error) !== 'EEXIST') throw ioError(error, file, 'write');
    throw new RouterError('USAGE', `${file} exists already, and nothing is written over it`, {
      hint: 'codex-router doctor --bundle <another file>',
    });
  }
  await syncFolder(resolve(file, '..'));
}

async function lookedAt(cli: Cli, options: DoctorOptions): Promise<BundleDeps> {
  const parts = compose(cli, options);
  const opened = await seen(() => parts.besideKeychain(() => parts.openRepo()));
  const host = await seen(() => hostOrNull(parts));
  const there = 'seen' in host ? host.seen : null;
  const { repo, journal } = parts;
  const explained = async () => {
    if (there === null) return null;
    const deps = { repo, host: there, journal, env: cli.env, now: cli.now };
    return explain(deps, { agent: options.agent ?? null, session: options.session ?? null });
  };
  return {
    versions: {
      codexRouter: typeof CODEX_ROUTER_VERSION === 'undefined' ? 'unknown' : CODEX_ROUTER_VERSION,
      node: process.versions.node,
      ...system(),
      distribution: await distribution(),
    },
    platform: cli.platform,
    arch: process.arch,
    env: cli.env,
    house: await lookAtHouse(parts.folders),
    entries: await seen(() => repo.list()),
    failure: 'seen' in opened ? null : opened.error,
    journal: await seen(() => journal.read()),
    found: await seen(() => parts.foundHost()),
    host,
    explanation: await seen(explained),
    findings: await findingsOf(cli, parts, options, opened),
    now: cli.now(),
  };
}

/** Where the whole look cannot be had, that of our own house. */
async function findingsOf(
  cli: Cli,
  parts: Parts,
  options: DoctorOptions,
  opened: Seen<OpenRepo>,
): Promise<BundleDeps['findings']> {
  const repo = 'seen' in opened ? opened.seen : null;
  const whole = await seen(() => lookOver(cli, options, { repo }));
  if ('seen' in whole) return { seen: whole.seen.findings, error: null };
  const failure = 'error' in opened && opened.error instanceof RouterError ? opened.error : null;
  const deps = {
    vault: parts.repoDeps,
    platform: cli.platform,
    opened: repo ?? failure ?? new RouterError('BUG', 'the vault could not be opened'),
    placed: [],
    withLock: parts.withLock,
    critical: cli.interruption.critical,
    now: cli.now,
  };
  const house = await seen(() => houseFindings(deps));
  return { seen: 'seen' in house ? house.seen : [], error: whole.error };
}

/** A report on something that is broken must not end for what is broken. */
async function seen<T>(look: () => Promise<T>): Promise<Seen<T>> {
  try {
    return { seen: await look() };
  } catch (error) {
    return { error };
  }
}

/** As Node itself knows it; null where it does not tell. */
function system(): { readonly kernel: string | null; readonly libc: string | null } {
  const { report } = process;
  if (report === undefined) return { kernel: null, libc: null };
  // Else it asks for the name of every network interface.
  Object.assign(report, { excludeNetwork: true });
  const { header = {} }: { readonly header?: { readonly [name: string]: unknown } } = report.getReport();
  const told = (name: string) => (typeof header[name] === 'string' ? header[name] : null);
  return { kernel: told('osRelease'), libc: told('glibcVersionRuntime') };
}

async function distribution(): Promise<string | null> {
  try {
    return /^ID="?([a-z0-9._-]+)"?$/m.exec(await readFile('/etc/os-release', 'utf8'))?.[1] ?? null;
  } catch {
    return null;
  }
}
