import { EXIT, EXIT_OF, RouterError } from '../../errors.js';
import { requireReplacing } from '../../os/platform.js';
import { showText } from '../../text.js';
import { type Cli, painter } from '../cli.js';
import { DONE, type DoctorDocument } from '../documents.js';
import { wrapped } from '../wrap.js';
import { type LookOptions, lookOver, type OpenedVault } from './doctor-look.js';

export interface DoctorOptions extends LookOptions {
  readonly fix?: boolean;
  /** The id of a mend, or true for the last one. */
  readonly undo?: string | true;
  /** A file for the report that can be shown to others, or true for stdout. */
  readonly bundle?: string | true;
}

/**
 * `codex-router doctor`: looks for what is not as it should be; mends it with `--fix`, and takes a mend back with `--undo`. Ends in 6
 * while a login is in danger.
 */
export async function runDoctor(cli: Cli, options: DoctorOptions): Promise<void> {
  if (options.bundle !== undefined) return (await import('./bundle.js')).runBundle(cli, options);
  if (options.fix && options.undo !== undefined)
    throw new RouterError('USAGE', '--fix and --undo exclude each other', {
      hint: 'codex-router doctor --help',
    });
  if (options.undo !== undefined)
    return (await import('./doctor-undo.js')).runDoctorUndo(cli, options, options.undo);
  const vault: OpenedVault = { repo: null };
  if (!options.fix) return show(cli, { ...(await lookOver(cli, options, vault)), mended: [], failed: [] });
  requireReplacing(cli.platform);
  show(cli, await (await import('./doctor-fix.js')).fix(cli, options, vault));
}

type Shown = Awaited<ReturnType<typeof import('./doctor-fix.js').fix>>;

function show(cli: Cli, shown: Shown): void {
  const { findings, mended, failed, failure, notes } = shown;
  const inDanger = findings.some(({ danger }) => danger);
  const document: DoctorDocument = {
    ...DONE,
    inDanger,
    findings: findings.map(({ mend, ...finding }) => ({ ...finding, mends: mend?.does ?? null })),
    mended: mended.map(({ notes: _, ...one }) => one),
    failed: failed.map(({ code, part, error }) => ({
      code,
      part,
      error: error.code,
      message: error.message,
      hint: error.hint ?? null,
    })),
    notes: [...notes, ...mended.flatMap((one) => one.notes)],
  };
  const error = failed[0]?.error ?? failure;
  cli.exitWith(inDanger ? EXIT.refused : error === null ? EXIT.ok : EXIT_OF[error.code]);
  cli.print(document, () => text(cli, document));
  if (!cli.json) for (const note of document.notes) cli.say(`  note      ${showText(note.text, 300)}`);
}

function text(cli: Cli, { findings, mended, failed }: DoctorDocument): string {
  const columns = cli.terminal.page?.columns ?? null;
  const fold: Fold = (line) => (columns === null ? [line] : wrapped(line, columns, BEFORE));
  const done = mended.flatMap(({ text: sentence, undo }) => [
    ...fold(`mended    ${showText(sentence, 600)}`),
    ...(undo === null ? [] : [`${BEFORE}take it back: ${showText(undo, 300)}`]),
  ]);
  const not = failed.flatMap(({ error, message, hint }) => [
    ...fold(`failed    ${showText(message, 600)} (${error})`),
    ...(hint === null ? [] : fold(`${BEFORE}${showText(hint, 300)}`)),
  ]);
  return [...done, ...not, ...left(cli, findings, done.length > 0, fold)].join('\n');
}

/** One line in as many as the screen takes; a command is left whole, to be copied. */
type Fold = (line: string) => readonly string[];

const BEFORE = ' '.repeat(10);

function left(
  cli: Cli,
  findings: DoctorDocument['findings'],
  isMended: boolean,
  fold: Fold,
): readonly string[] {
  if (findings.length === 0)
    return [`nothing is wrong${isMended ? ' any more' : ''}: every login has one holder`];
  const paint = painter(cli);
  return findings.flatMap(({ danger, text: sentence, remedy, mends }) => {
    const word = danger ? 'danger    ' : 'note      ';
    const [first = '', ...more] = fold(`${word}${showText(sentence, 600)}`);
    return [
      `${danger ? paint('bold', word) : word}${first.slice(word.length)}`,
      ...more,
      ...(remedy === null ? [] : [`${BEFORE}${showText(remedy, 300)}`]),
      ...(mends === null ? [] : fold(`${BEFORE}--fix would ${showText(mends, 300)}`)),
    ];
  });
}
