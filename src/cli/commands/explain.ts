import { type Explanation, explain } from '../../router/explain.js';
import type { candidateOf } from '../../router/resolve.js';
import { showText } from '../../text.js';
import type { Cli } from '../cli.js';
import { compose } from '../compose.js';
import { DONE, type ExplainDocument, personIn, slotOf } from '../documents.js';
import type { HostOptions } from '../options.js';
import { phrase } from '../people.js';

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
  cli.print(document, () => text(document));
  if (!cli.json) for (const note of document.notes) cli.say(`note: ${showText(note.text, 300)}`);
}

function documentOf(
  { agent, slot, session, layers, first, notes }: Explanation,
  person: (who: Explanation['layers'][number]['identity'] & object) => ReturnType<typeof candidateOf>,
): ExplainDocument {
  return {
    ...DONE,
    agrees: first === null,
    agent,
    slot: slotOf(slot),
    session,
    layers: layers.map(({ layer, identity, value, readFrom, verdict, why }) => ({
      layer,
      identity: identity && person(identity),
      value,
      readFrom,
      verdict,
      why,
    })),
    first: first?.layer ?? null,
    remedy: first?.remedy ?? null,
    notes: [...notes],
  };
}

const MARKS = { agrees: 'ok', disagrees: 'NOT', unknown: '?' } as const;

function text({ layers, first, remedy, session, agent, slot }: ExplainDocument): string {
  const chat = session.key === null ? `no session: ${showText(session.why, 120)}` : showText(session.key, 80);
  const lines = [`${slot.profileId} of agent ${showText(agent)}; ${chat}`, ''];
  layers.forEach(({ layer, identity, value, readFrom, verdict, why }, place) => {
    const shown = [identity && layer !== 'label' ? phrase(identity) : null, value && showText(value, 60)];
    const said = shown.filter((part) => part !== null && part !== '').join(', ') || '-';
    lines.push(`${place + 1} ${layer.padEnd(10)}${MARKS[verdict].padEnd(4)}${said}`);
    if (why !== null)
      lines.push(`${' '.repeat(16)}${verdict === 'unknown' ? 'unknown: ' : ''}${showText(why, 300)}`);
    lines.push(`${' '.repeat(16)}read from ${showText(readFrom, 200)}`);
  });
  lines.push('');
  const unknown = layers.filter(({ verdict }) => verdict === 'unknown').map(({ layer }) => layer);
  const rest = unknown.length === 0 ? '' : ` (unknown: ${unknown.join(', ')})`;
  if (first === null) lines.push(`all that could be read agrees${rest}`);
  else {
    lines.push(`the first that disagrees: ${first}${rest}`);
    lines.push(remedy === null ? 'no command of codex-router changes that' : `mend it: ${remedy}`);
  }
  return lines.join('\n');
}
