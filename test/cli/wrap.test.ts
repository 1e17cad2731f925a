import t from 'tap';
import { wrapped } from '../../src/cli/wrap.js';

t.test('no line is wider than the screen, and no blank is put into a word', async (t) => {
  const path = '/home/somebody/.local/share/codex-router/vault-110778d3-e540-49ac-9ee7-47297e913b52.key';
  for (const columns of [1, 10, 24, 40, 60, 80]) {
    for (const text of [
      `${' '.repeat(23)}read from codex-router's journal`,
      `2 slot       agrees    a (somebody@example.test, plus), ${path}`,
      `key       file: ${path} and more`,
      `${' '.repeat(10)}OpenClaw 2026.5.7, told by openclaw.json meta.lastTouchedVersion`,
    ]) {
      for (const indent of ['', '  ', ' '.repeat(10), ' '.repeat(23)]) {
        const lines = wrapped(text, columns, indent);
        const widest = Math.max(...lines.map(({ length }) => length));
        t.ok(widest <= columns, `${widest} columns of ${columns}`);
        // What is left of it where its lines are put together again, a word that was cut included.
        t.equal(lines.join('').replaceAll(' ', ''), text.replaceAll(' ', ''));
        const words = new Set(text.split(' '));
        for (const word of lines.flatMap((line) => line.trim().split(/ +/)))
          if (!words.has(word))
            t.ok(
              lines.some((line) => line.endsWith(word) || line.trimStart().startsWith(word)),
              `${word} is cut only at the end of a line`,
            );
      }
    }
  }
});

t.test('a word that does not fit goes to the next line, indented', async (t) => {
  t.strictSame(wrapped('note      one two three', 28, ' '.repeat(10)), ['note      one two three']);
  t.strictSame(wrapped('note      one two three four', 26, ' '.repeat(10)), [
    'note      one two three',
    '          four',
  ]);
});

t.test('an indent gives way where it would leave no room', async (t) => {
  t.strictSame(wrapped('one two three four five', 18, ' '.repeat(30)), ['one two three four', '  five']);
});
