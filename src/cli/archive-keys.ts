import { RouterError } from '../errors.js';
import { type Closed, closedBy, isArchive, LARGEST_ARCHIVE, openArchive } from '../repo/archive.js';
import { parseArchive } from '../repo/archive-document.js';
import { readPrivateFile } from '../repo/private-file.js';
import type { FoundLogin, FoundLogins, LoginArchive, Skipped } from '../router/import-source.js';
import { Secret } from '../secret.js';
import type { Cli } from './cli.js';

/** What opens an archive that is imported. */
export interface ArchiveOptions {
  /** An age key file, for an export to recipients. */
  readonly identity?: string;
  /** A file, or `-` for standard input. */
  readonly passphraseFile?: string;
}

const SHORTEST = 8;
const LONGEST = 4096;

/** A passphrase typed twice. @throws USAGE for one too short or typed differently */
export async function newPassphrase({ terminal }: Cli): Promise<string> {
  const first = await terminal.askSecret('passphrase for the export');
  const again = await terminal.askSecret('the same passphrase again');
  if (first !== again)
    throw new RouterError('USAGE', 'the two passphrases differ', { hint: 'run the command again' });
  return longEnough(first);
}

/** A passphrase out of a file that only its owner can read, or of standard input. @throws USAGE, VAULT_PERMISSIONS, IO */
export async function passphraseIn(cli: Cli, path: string): Promise<string> {
  return longEnough(await secretIn(cli, path, 'the passphrase file'));
}

/** The archive as `import` wants it: the router's port LoginArchive. @param admit see `parseIssuer` */
export function loginArchive(
  cli: Cli,
  options: ArchiveOptions,
  admit: (issuer: string, where: string) => void,
): LoginArchive {
  return {
    largest: LARGEST_ARCHIVE,
    isArchive,
    open: async (bytes, from): Promise<FoundLogins> => {
      if (from === 'standard input' && (options.passphraseFile === '-' || options.identity === '-')) {
        throw new RouterError('USAGE', 'standard input cannot be both the archive and what opens it', {
          hint: 'put one of them into a file',
        });
      }
      const plain = await openArchive(
        bytes,
        from,
        await keysFor(cli, await closedBy(bytes, from), from, options),
      );
      const logins: FoundLogin[] = [];
      const skipped: Skipped[] = [];
      for (const read of parseArchive(plain, from)) {
        if (read.login === null) {
          skipped.push({ from: read.from, reason: read.reason });
          continue;
        }
        const { holding, alias, doubt } = read.login;
        try {
          const { provenance } = holding.grant;
          if (provenance !== null) admit(provenance.issuer, read.from);
          // It lay in a file for a while: whoever had it meanwhile may have spent it.
          const why = doubt === 'login-needed' ? doubt : 'restored';
          logins.push({ holding, from: read.from, alias, doubt: why });
        } catch (error) {
          if (!(error instanceof RouterError)) throw error;
          skipped.push({ from: read.from, reason: error.message });
        }
      }
      return { logins, skipped };
    },
  };
}

async function keysFor(cli: Cli, closed: Closed, from: string, { identity, passphraseFile }: ArchiveOptions) {
  if (closed === 'none') return null;
  if (closed === 'identity') {
    if (identity !== undefined)
      return { identities: new Secret(await secretIn(cli, identity, 'the key file')) };
    throw new RouterError('CHOICE_NEEDED', `${from} is encrypted to a key`, {
      hint: 'add --identity <age key file>',
    });
  }
  if (passphraseFile !== undefined)
    return { passphrase: new Secret(await secretIn(cli, passphraseFile, 'the passphrase file')) };
  if (cli.terminal.canAsk)
    return { passphrase: new Secret(await cli.terminal.askSecret(`passphrase of ${from}`)) };
  throw new RouterError('CHOICE_NEEDED', `${from} needs its passphrase, and there is no terminal to ask on`, {
    hint: 'add --passphrase-file <file>',
  });
}

async function secretIn({ terminal }: Cli, path: string, what: string): Promise<string> {
  const text = path === '-' ? await terminal.readStdin(LONGEST, null) : await readPrivateFile(path, what);
  if (text === null)
    throw new RouterError('USAGE', `${what} ${path} is not there`, { hint: 'name one that is' });
  return text.replace(/\r?\n$/, '');
}

function longEnough(passphrase: string): string {
  if (passphrase.length >= SHORTEST) return passphrase;
  throw new RouterError('USAGE', `a passphrase needs at least ${SHORTEST} characters`, {
    hint: 'a few random words are better than one clever one',
  });
}
