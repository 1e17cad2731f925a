import { styleText } from 'node:util';
import { columnsOf } from '../text.js';

export type Style = 'bold' | 'dim' | 'green' | 'yellow';

/** Styles on a terminal that takes them, plain text elsewhere; nothing is ever said by a style alone. */
export function paint(colour: boolean): (style: Style, text: string) => string {
  return (style, text) => (colour ? styleText(style, text) : text);
}

/** Left-aligned columns, two blanks apart; the last column is not padded. Cells are already cleaned and cut. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, index) => {
      widths[index] = Math.max(widths[index] ?? 0, columnsOf(cell));
    });
  }
  return rows.map((row) =>
    row
      .map((cell, index) =>
        index === row.length - 1 ? cell : cell + ' '.repeat((widths[index] ?? 0) - columnsOf(cell)),
      )
      .join('  ')
      .trimEnd(),
  );
}
