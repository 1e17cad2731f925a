import { showText } from '../text.js';
import type { StatusDocument } from './documents.js';
import { phrase } from './people.js';
import { wrapped } from './wrap.js';

/** Columns of what stands before the words. */
const BEFORE = 10;

/** What `status` shows to a person. @param columns of the screen; null where there is none, and lines may be long */
export function statusText(document: StatusDocument, columns: number | null): string {
  const rows = [
    ...hostRows(document),
    ...document.slots.flatMap((slot) => slotRows(slot, document.identities !== null)),
    ...sessionRows(document),
    ...vaultRows(document),
  ];
  const { interrupted } = document;
  if (interrupted !== null) {
    const text = `the last switch stopped after "${interrupted.step}": codex-router sync finishes it`;
    rows.push(['warning', text]);
  }
  rows.push(...document.notes.map(({ text }): Row => ['note', showText(text, 300)]));
  return rows
    .flatMap(([title, text]) => {
      const line = `${title.padEnd(BEFORE)}${text}`;
      return columns === null ? [line] : wrapped(line, columns, ' '.repeat(BEFORE));
    })
    .join('\n');
}

type Row = readonly [title: string, text: string];

function hostRows({ host, trouble }: StatusDocument): Row[] {
  if (host === null) {
    const found = trouble === null || trouble.code === 'HOST_NOT_FOUND';
    return [['host', found ? 'none found' : `not understood: ${showText(trouble.message, 300)}`]];
  }
  const { stateDir, layout, release } = host;
  const which =
    release === null
      ? 'no installed OpenClaw was found'
      : `OpenClaw ${showText(release.version)}, told by ${showText(release.source, 200)}`;
  return [
    ['host', showText(stateDir, 200)],
    ['', `${layout}; ${which}`],
  ];
}

/** @param isListed whether it is known who is stored */
function slotRows(slot: StatusDocument['slots'][number], isListed: boolean): Row[] {
  const { agent, profileId, occupant, stored, selectable, others, problem, gateway } = slot;
  const who =
    problem !== null
      ? showText(problem, 200)
      : occupant === null
        ? 'empty'
        : `${phrase(occupant)}${stored || !isListed ? '' : ', not stored here'}`;
  const rows: Row[] = [['slot', `${profileId} of agent ${showText(agent)}: ${who}`]];
  if (gateway !== null) rows.push(['', gatewayText(gateway)]);
  if (occupant !== null && !selectable && others > 0) {
    rows.push(['', 'another login may be chosen in its place: codex-router explain']);
  }
  return rows;
}

type Gateway = NonNullable<StatusDocument['slots'][number]['gateway']>;

function gatewayText({ taken, holds, why }: Gateway): string {
  switch (taken) {
    case 'yes':
      return 'the running gateway has taken it';
    case 'no-gateway':
      return 'no gateway runs: the next one to start reads it';
    case 'no': {
      const what =
        holds !== null ? `it still holds ${phrase(holds)}` : (why ?? 'it still holds another login');
      return `the running gateway has not taken it: ${what}`;
    }
    case 'unknown':
      return `whether the running gateway has taken it cannot be told: ${showText(why, 200)}`;
  }
}

function sessionRows({ session }: StatusDocument): Row[] {
  if (session === null) return [];
  const { key, why, pinnedTo, pinnedBy, isSlot, companions } = session;
  if (key === null) return [['session', `none: ${showText(why, 200)}`]];
  const by = pinnedBy === 'host' ? 'by OpenClaw itself, which may choose again' : 'as a person chose';
  const to = isSlot === true ? 'the slot' : showText(pinnedTo, 80);
  const elsewhere = isSlot === false ? ': codex-router explain' : '';
  const rows: Row[] = [
    ['session', `${showText(key, 80)}: ${showText(why, 120)}`],
    ['', pinnedTo === null ? 'not pinned: it follows the order' : `pinned to ${to}, ${by}${elsewhere}`],
  ];
  for (const one of companions) {
    const pin = one.pinnedTo === null ? 'not pinned' : `pinned to ${showText(one.pinnedTo, 80)}`;
    rows.push(['', `companion ${showText(one.key, 80)}, ${pin}`]);
  }
  return rows;
}

function vaultRows({ vault, identities }: StatusDocument): Row[] {
  if (vault.exists === null) return [['vault', 'it cannot be read']];
  if (!vault.exists) return [['vault', 'none yet']];
  const count =
    identities === null
      ? 'its index cannot be read'
      : `${identities} ${identities === 1 ? 'identity' : 'identities'}`;
  const keys = vault.keys.map(({ kind, primary, where }): Row => {
    const place = where === null ? '' : `: ${showText(where, 200)}`;
    return ['key', `${kind}${primary ? '' : ' (another way in)'}${place}`];
  });
  return [
    ['vault', `${count}, in ${showText(vault.folder, 200)}`],
    ...keys,
    ...vault.warnings.map((text): Row => ['warning', text]),
  ];
}
