import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { type Backend, startBackend } from '../kit/backend.js';
import { outputOf, runProcess, until } from '../kit/process.js';
import { type Release, releasesToRun } from '../kit/releases.js';
import { type JsonDocument, leaksOf, PROJECT, router } from '../kit/router.js';
import { people } from '../kit/tokens.js';
import { change, type TruthHost, truthHost } from '../kit/truth-host.js';

const MAIN = 'agent:main:main';
const SPARE = 'spare/small';
const EXEC = { host: 'gateway', security: 'full', ask: 'off' };
const { alice, carol } = people;
const LIMIT = {
  status: 429,
  body: { error: { type: 'usage_limit_reached', message: 'The usage limit has been reached' } },
};

/** One whose cron has an agent run the command, and one whose scheduler runs it. */
const wanted: readonly Release[] = ['2026.5.7', '2026.9.6'];

/** What `config snippet` prints for this OpenClaw. */
async function printed({ box, node }: TruthHost, ...args: readonly string[]): Promise<string> {
  const run = await router(box, ['config', 'snippet', ...args], { node, timeout: 180_000 });
  if (run.code !== 0) throw new Error(outputOf(run));
  return run.stdout;
}

/** Runs it as a person would who pasted it into a shell. @throws when any command of it fails */
async function pasted({ box }: TruthHost, text: string): Promise<void> {
  const env = { ...box.env, NO_COLOR: '1', NODE_COMPILE_CACHE: path.join(PROJECT, '.cache', 'node-compile') };
  const run = await runProcess(['sh', '-ec', text], { env, cwd: box.root, timeout: 180_000 });
  if (run.code !== 0) throw new Error(`${text}\n${outputOf(run)}`);
}

/** A provider of its own, whose one model answers whatever becomes of the login in the slot. */
async function spareModel(t: Test, { state }: TruthHost): Promise<Backend> {
  const backend = await startBackend(t);
  const small = {
    ...{ id: 'small', name: 'small', reasoning: false, input: ['text'] },
    ...{ contextWindow: 200_000, maxTokens: 4096 },
    cost: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 },
  };
  const spare = { baseUrl: backend.baseUrl, apiKey: 'none', api: 'openai-responses', models: [small] };
  change(state.configPath, (config) => {
    config.models = { ...config.models, providers: { ...config.models?.providers, spare } };
    config.tools = { ...config.tools, exec: EXEC };
  });
  return backend;
}

/** Forces the job to run once, and what its run history says of that. */
async function runOnce({ openclaw, call }: TruthHost, id: string): Promise<JsonDocument> {
  const run = await openclaw(['cron', 'run', id]);
  if (run.code !== 0) throw new Error(outputOf(run));
  return await until(
    'the job has run',
    async () => {
      const { entries } = await call('cron.runs', { id });
      return entries.find(({ action }: JsonDocument) => action === 'finished');
    },
    240_000,
  );
}

/** The errand of an agent: what it is told to run it runs with its exec tool, and a switch beside it; what each printed. */
async function agentRuns(
  host: TruthHost,
  job: JsonDocument,
): Promise<Record<'check' | 'switch', JsonDocument>> {
  const [, command] =
    /as it stands: (.* failover check .*--json) It only looks/.exec(job.payload.message) ?? [];
  if (command === undefined) throw new Error(`no command in ${job.payload.message}`);
  const said = (name: string) => path.join(host.box.root, `said-${name}`);
  const more = command.replace(' failover check ', ' failover once --apply ');
  host.issuer.model.commands.push(
    `${command} > ${said('check')}; ${more} > ${said('switch')}; touch ${said('done')}`,
  );
  await runOnce(host, job.id);
  await until('the agent has run it', () => existsSync(said('done')), 240_000);
  const read = (name: string) => JSON.parse(readFileSync(said(name), 'utf8'));
  return { check: read('check'), switch: read('switch') };
}

for (const release of wanted.filter((one) => releasesToRun().includes(one))) {
  t.test(`${release}: what config snippet prints does what it says`, async (t) => {
    const host = await truthHost(t, release);
    if (host === null) return;
    const { issuer, state } = host;
    const { slot, provider } = state.traits;
    const backend = await spareModel(t, host);
    await host.add(host.mint('bob', 9), 'bob');
    state.choose({ order: { [provider]: [state.neighbourId, slot] } });
    await host.start();

    await t.test('order: a session without a pin is on the slot again', async (t) => {
      t.equal(await host.turn('agent:main:before'), carol.email, 'another login came first');
      await pasted(host, await printed(host, 'order'));
      const get = ['models', 'auth', 'order', 'get', '--provider', provider, '--json'];
      t.strictSame((await host.openclawJson(get)).order, [slot]);
      t.equal(await host.turn('agent:main:after'), alice.email);
    });

    await t.test('cron: the job that OpenClaw takes looks, and changes nothing', async (t) => {
      await pasted(host, await printed(host, 'cron', '--session', MAIN));
      const { jobs } = await host.call('cron.list');
      const job = jobs.find(({ name }: JsonDocument) => name === 'codex-router failover');
      t.match(job, {
        enabled: true,
        schedule: { kind: 'every', everyMs: 600_000 },
        sessionTarget: 'isolated',
      });
      const before = state.profiles();
      if (release === '2026.5.7') {
        const said = await agentRuns(host, job);
        t.match(said.check, { ok: true }, 'the agent may look', said);
        t.match(said.switch, { error: { code: 'AGENT_REFUSED' } }, 'and not switch');
      } else {
        const run = await runOnce(host, job.id);
        t.match(run, { status: 'ok', summary: new RegExp(MAIN) }, 'the scheduler runs it', run);
      }
      t.strictSame(state.profiles(), before);
    });

    await t.test('fallbacks: a turn whose login is refused ends on the other model', async (t) => {
      await pasted(host, await printed(host, 'fallbacks', '--model', SPARE));
      const { agents } = JSON.parse(readFileSync(state.configPath, 'utf8'));
      t.strictSame(agents.defaults.model.fallbacks, [SPARE]);
      await until('the gateway has taken it', () =>
        /config hot reload applied .*model\.fallbacks/.test(host.log()),
      );
      issuer.model.refusal = LIMIT;
      t.match(await host.turn('agent:main:refused'), alice.email, 'the login in the slot was asked first');
      t.ok(backend.take().length > 0, 'and the other model answered');
      issuer.model.refusal = null;
      t.equal(state.slot()?.email, alice.email, 'the slot is as it was');
    });
    await host.stop();
    t.strictSame(issuer.reuses(), []);
    t.strictSame(leaksOf(host.box), []);
  });
}
