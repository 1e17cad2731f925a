/**
 * A string from outside (e-mail, workspace name, label, server text) made safe to show: terminal escape sequences, control,
 * bidirectional and invisible characters are dropped, line breaks become blanks, and the rest is cut to `columns`.
 * Null and nothing-left become `-`.
 */
export function showText(value: string | null | undefined, columns = 60): string {
  const text = value ?? '';
  if (PRINTABLE.test(text)) return cut(text.replace(/ {2,}/g, ' ').trim() || '-', columns);
  const plain = text
    .replace(ESCAPE_SEQUENCE, '')
    .replace(/[\s\p{Zl}\p{Zp}]+/gu, ' ')
    .replace(/\p{C}/gu, '')
    .replace(/(\p{M}{2})\p{M}+/gu, '$1')
    .trim();
  return plain === '' ? '-' : cut(plain, columns);
}

/** A path as one word of a command line that a person copies. */
export function shellWord(value: string): string {
  return /^[\w@%+=:,./-]+$/.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`;
}

/** How many terminal columns a cleaned string takes; East Asian wide characters and emoji take two. */
export function columnsOf(text: string): number {
  if (PRINTABLE.test(text)) return text.length;
  let columns = 0;
  for (const character of text) columns += WIDE.test(character) ? 2 : /\p{M}/u.test(character) ? 0 : 1;
  return columns;
}

function cut(text: string, columns: number): string {
  if (columnsOf(text) <= columns) return text;
  let kept = '';
  let used = 0;
  for (const character of text) {
    used += columnsOf(character);
    if (used > columns - 1) break;
    kept += character;
  }
  return `${kept}…`;
}

/** What needs none of the looks at Unicode below, whose tables take milliseconds to build. */
const PRINTABLE = /^[ -~]*$/;

// CSI and OSC/DCS/APC strings first, with their payload: dropping only the ESC would leave the payload readable.
const ESCAPE_SEQUENCE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is being removed
  /(?:\u001b\[|\u009b)[0-?]*[ -/]*[@-~]|(?:\u001b[\]PX^_]|[\u009d\u0090\u0098\u009e\u009f])[^\u0007\u001b\u009c]*(?:\u0007|\u001b\\|\u009c)?|\u001b[ -/]*[0-~]/gu;

const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|[\u{1f300}-\u{1faff}]|[\u{20000}-\u{3fffd}]/u;
