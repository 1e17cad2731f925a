import { readFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { CAUSES, LAYERS, SYMPTOMS } from '../../src/router/explain-layers.js';
import { FINDING_CODES } from '../../src/router/finding-codes.js';
import { columnsOf } from '../../src/text.js';

const page = (name: string) =>
  readFileSync(path.join(import.meta.dirname, '../../docs', `${name}.md`), 'utf8');

t.test('each finding of doctor is explained in docs/doctor.md, once, and no other', async (t) => {
  const told = page('doctor')
    .split('\n')
    .flatMap((line) =>
      line.startsWith('| ') ? (line.split(' | ')[0]?.match(/[A-Z]+(_[A-Z]+)+/g) ?? []) : [],
    );
  t.strictSame([...told].sort(), [...FINDING_CODES].sort());
});

t.test(
  'each cause of explain is in docs/layers.md, and a branch of the decision tree for each symptom',
  async (t) => {
    const layers = page('layers');
    for (const cause of CAUSES) t.match(layers, `\`${cause}\``, cause);
    const branches = layers.match(/^\| \*\*.+\*\*/gm) ?? [];
    t.equal(branches.length, SYMPTOMS.length);
  },
);

t.test('the drawing of the layers names all seven and fits 80 columns', async (t) => {
  const drawing = page('layers').split('```')[1] ?? '';
  LAYERS.forEach((layer, place) => {
    t.match(drawing, `(${place + 1}) ${layer}`);
  });
  for (const line of drawing.split('\n')) t.ok(columnsOf(line) <= 80, line);
});
