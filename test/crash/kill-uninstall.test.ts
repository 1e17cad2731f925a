import { existsSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { outputOf } from '../kit/process.js';
import { router } from '../kit/router.js';
import { makeState } from '../kit/state.js';
import { codexAuthJson, loginOf } from '../kit/tokens.js';
import { type Bed, callsOf, inParallel, newest, type Scenario, twoBeds } from './bed.js';
import { figure, LONGER } from './figures.js';
import { strike } from './strace.js';

const LOGINS = [loginOf('alice'), loginOf('bob'), loginOf('carol')] as const;

/** What `uninstall` leaves is no vault, so the promises of a vault that is in use do not hold of it: its own are here. */
const uninstall: Scenario = {
  name: 'uninstall',
  args: ['uninstall', '--yes', '--json'],
  others: [],
  prepare: async (_, box, env) => {
    const [alice, ...parked] = LOGINS;
    makeState(box.stateDir, { release: '2026.5.7', slot: alice });
    const ok = async (args: readonly string[], input?: string) => {
      const run = await router(box, args, { env, ...(input !== undefined && { input }) });
      if (run.code !== 0) throw new Error(outputOf(run));
    };
    await ok(['import', '--from', 'openclaw', '--take', '--yes']);
    for (const login of parked) await ok(['import', '--from', '-'], codexAuthJson(login));
    return { known: LOGINS.map((login) => newest(login)), finished: () => [] };
  },
};

t.test('an uninstall that is killed at any write loses no login, and the next one finishes it', async (t) => {
  const beds = await twoBeds(t, uninstall);
  const [first] = beds;
  if (first === undefined) return;
  const calls = await callsOf(first);
  t.ok(calls.length >= 30, `${calls.length} calls to be killed at`);
  const points = [...calls.keys()].filter((index) => LONGER > 1 || index % 2 === 0);
  await inParallel(beds, points, async (bed, index) => {
    await strike(bed.program, bed.box.root, calls, index, 'kill');
    figure('kill points', 1);
    bed.ageLocks();
    const found = [...lost(await bed.look()).map((email) => `killed: ${email} is lost`)];
    const again = await bed.run(uninstall.args);
    if (again.code !== 0) found.push(outputOf(again));
    t.same([...found, ...left(bed, await bed.look())], [], `${index + 1}. before ${calls[index]?.what}`);
  });
});

type Sight = Awaited<ReturnType<Bed['look']>>;

function lost({ host, stored }: Sight): readonly string[] {
  const seen = [...host.logins, ...stored.values()].map(({ refresh }) => refresh);
  return LOGINS.flatMap(({ refresh, email }) => (seen.includes(refresh) ? [] : [email]));
}

function left({ box }: Bed, { host }: Sight): readonly string[] {
  const refreshes = host.logins.map(({ refresh }) => refresh).sort();
  const right = JSON.stringify(refreshes) === JSON.stringify(LOGINS.map(({ refresh }) => refresh).sort());
  const ours = [
    box.routerHome,
    path.join(box.env.XDG_CONFIG_HOME ?? '', 'codex-router'),
    path.join(box.stateDir, 'codex-router.json'),
  ];
  return [
    ...(right ? [] : ['OpenClaw has not every login once']),
    ...host.problems,
    ...ours.filter((file) => existsSync(file)).map((file) => `${path.relative(box.root, file)} is left`),
  ];
}
