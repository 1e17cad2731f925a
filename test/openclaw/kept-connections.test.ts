import t from 'tap';
import { keptFor } from '../../src/openclaw/kept-connections.js';

const sse = { params: { transport: 'sse' } };
const auto = { params: { transport: 'auto' } };

t.test('the releases that keep a connection to the model between turns', async (t) => {
  const keeps = (version: string | null) => keptFor(version, {}, 'openai') !== null;
  for (const version of ['2026.3.28', '2026.5.7', '2026.5.28', '2026.6.11', '2026.7.35'])
    t.notOk(keeps(version), version);
  for (const version of ['2026.8.1', '2026.9.1', '2026.9.6', '2026.8.1-beta.1', '2027.1.1', null])
    t.ok(keeps(version), String(version));
  t.ok((keptFor('2026.9.6', {}, 'openai') ?? 0) > 5 * 60 * 1000, 'five minutes, and a little for the host');
});

t.test('a configuration that calls the model over HTTP keeps none', async (t) => {
  const keeps = (agents: object) =>
    keptFor('2026.9.6', JSON.parse(JSON.stringify({ agents })), 'openai') !== null;
  t.notOk(keeps({ defaults: sse }));
  t.notOk(keeps({ defaults: { models: { 'openai/gpt-5.5': sse } } }));
  t.notOk(
    keeps({ defaults: { models: { 'openai/gpt-5.5': sse, 'anthropic/x': auto } } }),
    'of another provider',
  );
  t.notOk(keeps({ defaults: { ...sse, models: { 'openai/gpt-5.5': {} } }, list: [{ id: 'a', ...sse }] }));
  t.ok(keeps({ defaults: auto }));
  t.ok(keeps({ defaults: { models: { 'openai/gpt-5.5': sse, 'openai/gpt-5.4': {} } } }), 'only one of two');
  t.ok(keeps({ defaults: { ...sse, models: { 'openai/gpt-5.5': auto } } }), 'a model that says otherwise');
  t.ok(keeps({ defaults: sse, list: [{ id: 'a', ...auto }] }), 'an agent that says otherwise');
  t.ok(keeps({ defaults: sse, entries: { a: { models: { 'openai/gpt-5.5': auto } } } }), 'as from 8.1 on');
  t.ok(keeps({ list: [{ id: 'a', ...sse }] }), 'an agent alone says nothing of the others');
  t.ok(keeps({ defaults: 7, list: 'none' }), 'what cannot be understood');
});
