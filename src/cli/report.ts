import { EXIT, RouterError } from '../errors.js';
import { showText } from '../text.js';
import { type Cli, encodeDocument } from './cli.js';
import type { ErrorDocument } from './documents.js';
import { peopleTable } from './people.js';

/** Says what went wrong, once, in the form the person asked for, and gives the exit status. */
export function reportError(cli: Cli, error: unknown): number {
  if (isShown(error)) return EXIT.ok;
  const known = asRouterError(error);
  const { code, message, hint, candidates } = known;
  if (cli.json) {
    const document: ErrorDocument = {
      schemaVersion: 1,
      ok: false,
      error: { code, message, hint: hint ?? null, ...(candidates && { candidates: [...candidates] }) },
    };
    cli.terminal.write(`${encodeDocument(document)}\n`);
    return known.exitCode;
  }
  cli.terminal.say(`codex-router: ${showText(message, 500)} (${code})`);
  if (candidates && candidates.length > 0) {
    const rows = candidates.slice(0, 20).map((candidate) => ({ ...candidate, marker: '' }));
    for (const line of peopleTable(rows)) cli.terminal.say(line);
    if (candidates.length > rows.length) cli.terminal.say(`  and ${candidates.length - rows.length} more`);
  }
  if (hint !== undefined) cli.terminal.say(`hint: ${showText(hint, 500)}`);
  return known.exitCode;
}

/** commander throws after it has printed help or a version. */
function isShown(error: unknown): boolean {
  return (
    commanderCode(error) !== null && error instanceof Error && 'exitCode' in error && error.exitCode === 0
  );
}

/** What an error of any kind is to the person: the RouterError it is, or a bug of ours that quotes nothing of it. */
export function asRouterError(error: unknown): RouterError {
  if (error instanceof RouterError) return error;
  if (error instanceof Error && error.name === 'AbortError') return interrupted(false);
  if (commanderCode(error) === 'commander.help') {
    return new RouterError('USAGE', 'a command is missing', { hint: 'codex-router --help' });
  }
  if (commanderCode(error) !== null && error instanceof Error) {
    const message = error.message
      .replace(/^error: /, '')
      .replace(/\s*\n\s*/g, ' ')
      // What was typed may be the callback of a login, in the wrong place.
      .replace(/'(--?[\w-]+)=.*'/, "'$1=...'")
      .replace(/'[^']*(?:#|:\/\/|code=).*'/, "'...'")
      .replace(/\.$/, '');
    return new RouterError('USAGE', message, { hint: 'codex-router --help' });
  }
  // The text of an unknown error may quote what it was given: only its kind and place are shown.
  const place = error instanceof Error ? (/\n\s+at (.+)/.exec(error.stack ?? '')?.[1] ?? '') : '';
  const kind = error instanceof Error ? error.name : typeof error;
  return new RouterError('BUG', `something went wrong in codex-router itself: ${kind} ${place}`.trim(), {
    hint: 'please report it; what was stored is intact',
    cause: error,
  });
}

function commanderCode(error: unknown): string | null {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return null;
  return error.code.startsWith('commander.') ? error.code : null;
}

/** A command that a signal ended. @param finished whether what had been begun was carried out first. */
export function interrupted(finished: boolean): RouterError {
  return finished
    ? new RouterError('INTERRUPTED', 'stopped, after finishing what was begun', {
        hint: 'codex-router status',
      })
    : new RouterError('INTERRUPTED', 'stopped', { hint: 'codex-router status shows how things are' });
}
