import { type Explanation, explain, IMPORT } from '../../router/explain.js';
import type { candidateOf } from '../../router/resolve.js';
import { showText } from '../../text.js';
import type { Cli } from '../cli.js';
import { compose } from '../compose.js';
import { DONE, type ExplainDocument, personIn, slotOf } from '../documents.js';
import type { HostOptions } from '../options.js';
import { phrase } from '../people.js';
import { SYMPTOM_WORDS } from '../symptoms.js';
import { wrapped } from '../wrap.js';

export interface ExplainOptions extends HostOptions {
  readonly agent?: string;
  readonly session?: string;
}

/** `codex-router explain`: looks, and only looks. */
export async function runExplain(cli: Cli, options: ExplainOptions): Promise<void> {
  const parts = compose(cli, options);
  const { agent = null, session = null } = options;
  const explanation = await explain(
    { repo: parts.repo, host: await parts.host(), journal: parts.journal, env: cli.env, now: cli.now },
    { agent, session },
  );
  const entries = await parts.repo.list();
  const document = documentOf(explanation, (who) => personIn(who, entries));
  cli.print(document, () => text(document, cli.terminal.page?.columns ?? null));
  if (!cli.json) for (const note of document.notes) cli.say(`note: ${showText(note.text, 300)}`);
}

function documentOf(
  { agent, slot, session, layers, first, symptom, notes }: Explanation,
  person: (who: Explanation['layers'][number]['identity'] & object) => ReturnType<typeof candidateOf>,
): ExplainDocument {
  return {
    ...DONE,
    agrees: first === null,
    agent,
    slot: slotOf(slot),
    session,
    layers: layers.map(({ layer, identity, value, readFrom, verdict, cause, why }) => ({
      layer,
      identity: identity && person(identity),
      value,
      readFrom,
      verdict,
      cause,
      why,
    })),
    first: first?.layer ?? null,
    symptom,
    remedy: first?.remedy ?? null,
    notes: [...notes],
  };
}

/** Columns of what stands before the words: `7 effective  disagrees  `. */
const BEFORE = 23;
/** A screen below it has no room for them beside the words of every line. */
const NARROW = 60;

/** @param columns of the screen; null where there is none, and lines may be long */
function text(document: ExplainDocument, columns: number | null): string {
  const { layers, first, symptom, remedy, session, agent, slot } = document;
  const within = (line: string, indent = 2) =>
    columns === null ? [line] : wrapped(line, columns, ' '.repeat(indent));
  const chat = session.key === null ? `no session: ${showText(session.why, 120)}` : showText(session.key, 80);
  const before = columns !== null && columns < NARROW ? 2 : BEFORE;
  const inset = ' '.repeat(before);
  const unknown = layers.filter(({ verdict }) => verdict === 'unknown').map(({ layer }) => layer);
  const rest = unknown.length === 0 ? '' : ` (unknown: ${unknown.join(', ')})`;
  return [
    ...within(`${slot.profileId} of agent ${showText(agent)}; ${chat}`),
    '',
    ...layers.flatMap(({ layer, identity, value, readFrom, verdict, why }, place) => {
      const shown = [identity && layer !== 'label' ? phrase(identity) : null, valueText(layer, value)];
      const said = shown.filter((part) => part !== null && part !== '').join(', ') || '-';
      return [
        ...within(`${place + 1} ${layer.padEnd(10)} ${verdict.padEnd(9)} ${said}`, before),
        ...(why === null ? [] : within(`${inset}${showText(why, 300)}`, before)),
        ...within(`${inset}read from ${showText(readFrom, 200)}`, before),
      ];
    }),
    '',
    ...(first === null
      ? within(`all that could be read agrees${rest}`)
      : [
          ...within(`the first that disagrees: ${first}${rest}`),
          ...(symptom === null ? [] : within(`what it looks like: ${SYMPTOM_WORDS[symptom]}`)),
          // A command is copied whole: it is not broken into lines.
          remedy === null ? 'no command of codex-router changes that' : mendText(remedy),
        ]),
  ].join('\n');
}

/** Nobody can be put into a slot who is not stored. */
function mendText(remedy: string): string {
  const isFirst = remedy === IMPORT;
  return isFirst ? `store that login first: ${remedy}, then explain again` : `mend it: ${remedy}`;
}

function valueText(layer: string, value: string | null): string | null {
  if (value === 'none' && layer === 'pin') return 'no pin';
  if (value === 'none' && layer === 'order') return 'no stored order';
  return value && showText(value, 60);
}
