import { columnsOf } from '../text.js';

/** Columns that a text has at least, whatever it is indented by. */
const LEAST = 16;

/**
 * A cleaned text in lines of `columns`, the later ones indented; a word that is longer than a line is cut, and nothing is put between its
 * pieces but the end of a line. On a narrow screen an indent gives way.
 */
export function wrapped(text: string, columns: number, indent: string): string[] {
  const most = Math.max(0, columns - LEAST);
  const inset = indent.slice(0, most);
  const [, before = '', rest = ''] = /^( *)(.*)$/s.exec(text) ?? [];
  const lines: string[] = [];
  let start = before.slice(0, most);
  let line = start;
  let gap = '';
  const isFull = (more: string) => line !== start && columnsOf(line + more) > columns;
  const end = () => {
    lines.push(line.trimEnd());
    start = inset;
    line = inset;
  };
  for (const word of rest.split(' ')) {
    const fits = columnsOf(inset + word) <= columns;
    // A long one starts where there is nothing but what all lines are indented by.
    if (isFull(gap + word) && (fits || columnsOf(line + gap) > columnsOf(inset))) {
      end();
      gap = '';
    }
    line += gap;
    for (const character of word) {
      if (isFull(character)) end();
      line += character;
    }
    gap = ' ';
  }
  return [...lines, line.trimEnd()];
}
