import { isAbsolute, relative, resolve, sep } from 'node:path';
import { RouterError, systemErrorCode } from '../../errors.js';
import { ioError, realTarget, writeAtomic } from '../../os/atomic.js';
import { createExclusively } from '../../os/exclusive.js';
import { lstat, readFile, stat } from '../../os/files.js';
import type { RouterFolders } from '../../os/folders.js';
import { type Closing, closeArchive, isArchive } from '../../repo/archive.js';
import { encodeArchive } from '../../repo/archive-document.js';
import { copyNotes, type ExportPlan, gatherExport, recordExport } from '../../router/export.js';
import { candidateOf, nameOf } from '../../router/resolve.js';
import { Secret } from '../../secret.js';
import { shellWord, showText } from '../../text.js';
import { hostOrNull, refreshDeps } from '../adapt.js';
import { newPassphrase, passphraseIn } from '../archive-keys.js';
import type { Cli } from '../cli.js';
import { compose } from '../compose.js';
import { confirm } from '../confirm.js';
import { DONE, type ExportDocument } from '../documents.js';
import type { HostOptions } from '../options.js';
import { phrase } from '../people.js';

export interface ExportOptions extends HostOptions {
  readonly to: string;
  readonly recipient?: readonly string[];
  readonly passphrase?: boolean;
  readonly passphraseFile?: string;
  readonly armor?: boolean;
  readonly force?: boolean;
  readonly plaintext?: boolean;
  readonly yesWriteMyTokensUnencrypted?: boolean;
}

/** `codex-router export --to <file> [selector...]` */
export async function runExport(
  cli: Cli,
  selectors: readonly string[],
  options: ExportOptions,
): Promise<void> {
  const kind = kindOf(cli, options);
  if (options.to === '') throw usage('--to names no file');
  const to = resolve(options.to);
  const parts = compose(cli, options);
  await admitFile(to, options.force ?? false, parts.folders);
  const host = await parts.besideKeychain(() => hostOrNull(parts));
  const { opening, ...rest } = refreshDeps(cli, parts);
  const deps = { ...rest, repo: await opening, host };
  // Nobody is asked about a file that then is not made; what is stored may change while they think.
  const first = await gatherExport(deps, selectors);
  const closing = await closingOf(cli, kind, options);
  const plan = { ...(await gatherExport(deps, selectors)), notes: first.notes };
  if (closing.kind === 'passphrase') cli.say('closing the file, and opening it once to prove it ...');
  const plain = encodeArchive(
    plan.exported.map(({ login }) => login),
    cli.now(),
  );
  const bytes = await closeArchive(plain, closing, options.armor ?? false);
  await cli.interruption.critical(() => write(to, bytes, options.force ?? false));
  const late = closing.kind === 'none' ? [] : await recordExport(deps, plan);
  const document = documentOf(to, closing.kind, options, plan, late.map(nameOf));
  cli.print(document, () => text(document));
  if (!cli.json) for (const { text } of document.notes) cli.say(`  note      ${showText(text, 400)}`);
}

/** @throws USAGE, CHOICE_NEEDED; before anything is read or asked */
function kindOf(
  cli: Cli,
  { to, recipient, passphrase, passphraseFile, plaintext, yesWriteMyTokensUnencrypted, armor }: ExportOptions,
): Closing['kind'] {
  const byPassphrase = passphrase === true || passphraseFile !== undefined;
  const chosen = [byPassphrase, recipient !== undefined, plaintext === true].filter(Boolean).length;
  if (chosen > 1) throw usage('a passphrase, recipients and --plaintext exclude each other');
  if (to === '-') throw usage('an export goes into a file, not to standard output');
  if (plaintext) {
    if (armor) throw usage('--armor is for an encrypted file');
    if (!yesWriteMyTokensUnencrypted && !cli.terminal.canAsk) {
      throw new RouterError(
        'CHOICE_NEEDED',
        '--plaintext writes every login unencrypted: whoever reads the file can use all of them',
        { hint: 'leave it out; or, if that is meant, add --yes-write-my-tokens-unencrypted' },
      );
    }
    return 'none';
  }
  if (recipient !== undefined) return 'recipients';
  if (passphraseFile === undefined && !cli.terminal.canAsk) {
    throw new RouterError(
      'CHOICE_NEEDED',
      'an export needs a passphrase, and there is no terminal to ask on',
      {
        hint: '--recipient age1..., or --passphrase-file <file>',
      },
    );
  }
  return 'passphrase';
}

async function closingOf(cli: Cli, kind: Closing['kind'], options: ExportOptions): Promise<Closing> {
  switch (kind) {
    case 'recipients':
      return { kind, recipients: options.recipient ?? [] };
    case 'passphrase': {
      const file = options.passphraseFile;
      return {
        kind,
        passphrase: new Secret(file === undefined ? await newPassphrase(cli) : await passphraseIn(cli, file)),
      };
    }
    case 'none':
      if (!options.yesWriteMyTokensUnencrypted) {
        await confirm(cli, {
          preview: ['the file will hold every login unencrypted: whoever reads it can use all of them'],
          question: 'Write them unencrypted?',
          what: 'an export in plain text',
          declined: 'nothing was written',
          look: 'codex-router export --help',
        });
      }
      return { kind };
  }
}

/** Only an export gives way to an export, and none lies among what it is a copy of. @throws CHOICE_NEEDED, USAGE, IO */
async function admitFile(path: string, force: boolean, { data, config }: RouterFolders): Promise<void> {
  const target = await realTarget(path);
  for (const folder of [data, config]) {
    if (isWithin(await realTarget(folder).catch(() => folder), target)) {
      throw usage(`${path} lies among codex-router's own files`);
    }
  }
  try {
    const found = await lstat(path);
    if (!force) throw exists(path);
    const isFile = found.isFile() || (found.isSymbolicLink() && (await stat(path)).isFile());
    if (isFile && isReplaceable(await readFile(path))) return;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return;
    throw ioError(error, path, 'write');
  }
  throw usage(`${path} is no export, so --force does not replace it`);
}

function isReplaceable(bytes: Uint8Array): boolean {
  return bytes.length === 0 || isArchive(bytes);
}

function isWithin(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way === '' || !(way === '..' || way.startsWith(`..${sep}`) || isAbsolute(way));
}

/** 0600, at one stroke, and read back: an export that cannot be read is none. */
async function write(path: string, bytes: Uint8Array, force: boolean): Promise<void> {
  if (force) await writeAtomic(path, bytes);
  else if (!(await createExclusively(path, bytes))) throw exists(path);
  if (Buffer.compare(await readFile(path), bytes) === 0) return;
  throw new RouterError('IO', `${path} does not hold what was written to it`, { hint: 'check the disk' });
}

function exists(path: string): RouterError {
  return new RouterError('CHOICE_NEEDED', `${path} is there already`, {
    hint: 'name another file, or add --force to replace it',
  });
}

function documentOf(
  file: string,
  kind: Closing['kind'],
  { armor }: ExportOptions,
  plan: ExportPlan,
  late: readonly string[],
): ExportDocument {
  const changed = late.map((name) => ({
    code: 'COPY_WILL_AGE',
    text: `another login of ${name} was stored while the file was written: export again`,
  }));
  return {
    ...DONE,
    result: 'exported',
    file,
    closedBy: kind === 'none' ? null : kind,
    armor: armor ?? false,
    identities: plan.exported.map(({ entry, heldBy }) => ({
      identity: candidateOf(entry),
      heldBy,
      doubt: entry.doubt,
    })),
    notes: [...copyNotes(plan), ...changed],
  };
}

function text({ file, closedBy, identities }: ExportDocument): string {
  const shown = showText(file, 200);
  const opens =
    closedBy === null
      ? 'unencrypted: delete it as soon as it is imported'
      : `age -d opens it, and codex-router import --from ${showText(shellWord(file), 220)}`;
  return [
    `${identities.length} ${identities.length === 1 ? 'identity is' : 'identities are'} in ${shown}; ${opens}`,
    ...identities.map(({ identity, heldBy }) => {
      const held = heldBy === null ? '' : `, held by ${showText(heldBy, 80)}`;
      return `  ${phrase(identity)}${held}`;
    }),
  ].join('\n');
}

function usage(message: string): RouterError {
  return new RouterError('USAGE', message, { hint: 'codex-router export --help' });
}
