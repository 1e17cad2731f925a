import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { startIssuer } from '../kit/issuer.js';
import { outputOf } from '../kit/process.js';
import { leaksOf, router, type Sandbox } from '../kit/router.js';
import { makeState } from '../kit/state.js';
import { codexAuthJson, loginOf, people } from '../kit/tokens.js';
import { type Bed, callsOf, inParallel, keyOf, newest, type Scenario, type Sight, twoBeds } from './bed.js';
import { figure } from './figures.js';
import { strike } from './strace.js';

/** Hands out the next of the logins that lie ready: by one call, which nothing here is struck at. */
const STAND_IN = `#!/bin/sh
for login in "\${0%/*}"/../ready/*; do exec mv "$login" "$CODEX_HOME/auth.json"; done
`;

/** The old login of the same person gives way, so that a back-up is made too. */
const scenario: Scenario = {
  name: 'add, of an identity that is stored already',
  args: ['add', 'new', '--yes', '--json'],
  others: [],
  prepare: async (t, box, given) => {
    const issuer = await startIssuer(t);
    const env = { ...given, CODEX_ROUTER_TEST_ISSUER: issuer.url };
    makeState(box.stateDir, { release: '2026.5.7', slot: null });
    const old = issuer.mint(people.bob, { issuedAt: Date.now() - 60_000 });
    await router(box, ['import', '--from', '-', '--alias', 'old'], { env, input: codexAuthJson(old) });
    mkdirSync(path.join(box.root, 'ready'));
    for (const name of ['1', '2', '3']) {
      const text = codexAuthJson(issuer.mint(people.bob), '0.169', { issuer: issuer.url });
      writeFileSync(path.join(box.root, 'ready', name), text, { mode: 0o600 });
    }
    writeFileSync(path.join(box.bin, 'codex'), STAND_IN);
    chmodSync(path.join(box.bin, 'codex'), 0o755);
    return {
      known: [newest(old, { sealed: true })],
      env,
      issuer,
      finished: (seen) => (seen.sealed.length === 1 ? [] : ['the old login was not sealed']),
    };
  },
};

function ready(box: Sandbox): readonly string[] {
  return readdirSync(path.join(box.root, 'ready'));
}

function homes(box: Sandbox): readonly string[] {
  const folder = path.join(box.routerHome, 'codex-homes');
  return existsSync(folder) ? readdirSync(folder).map((name) => path.join(folder, name)) : [];
}

/** The refresh tokens in the throw-away homes. */
function lying(box: Sandbox): readonly string[] {
  return homes(box).flatMap((home) => {
    const file = path.join(home, 'auth.json');
    return existsSync(file) ? [JSON.parse(readFileSync(file, 'utf8')).tokens.refresh_token] : [];
  });
}

function storedIn(seen: Sight): string | undefined {
  return seen.stored.get(keyOf(people.bob))?.refresh;
}

t.test('killed at any write, add loses no login that was made, and makes no second one for it', async (t) => {
  const beds = await twoBeds(t, scenario);
  const [first] = beds;
  if (first === undefined) return;
  const calls = await callsOf(first);
  t.ok(calls.length >= 30, `${calls.length} calls to be killed at`);
  const left = { made: 0, empty: 0, done: 0 };
  await inParallel(beds, [...calls.keys()], async (bed, index) => {
    await strike(bed.program, bed.box.root, calls, index, 'kill');
    figure('kill points', 1);
    bed.ageLocks();
    bed.keep();
    const found = await afterKill(bed, left);
    t.same(found, [], `${index + 1}. before ${calls[index]?.what}`);
  });
  t.ok(
    left.made > 0 && left.empty > 0,
    `a login was left ${left.made} times, an empty home ${left.empty} times`,
  );
});

async function afterKill(bed: Bed, left: { made: number; empty: number }): Promise<readonly string[]> {
  const { box } = bed;
  const found: string[] = [];
  const before = await bed.look();
  const token = lying(box)[0] ?? null;
  const isMade = ready(box).length === 2;
  if (isMade && token === null && storedIn(before) === undefined) found.push('the login is lost');
  if (token !== null) left.made += 1;
  else if (homes(box).length > 0) left.empty += 1;
  found.push(...before.problems);

  const again = await bed.run(scenario.args);
  const seen = await bed.look();
  // It had come to its end but for what was left to say.
  const isNamed = token === null && again.json?.error?.code === 'USAGE' && isMade;
  if (again.code !== 0 && !isNamed) found.push(outputOf(again));
  found.push(...bed.wrongs(seen, 'done'));
  if (homes(box).length > 0) found.push('a home is left');
  if (ready(box).length !== 2) found.push('a second login was made');
  if (token !== null && storedIn(seen) !== token) found.push('what had been left is not what is stored');
  // Killed between the back-up and the record, it seals the same once more.
  const sealed = new Set(seen.sealed.map(({ refresh }) => refresh)).size;
  if (sealed !== 1) found.push(`${sealed} logins are sealed, not the old one alone`);

  bed.restore('kept');
  const input = codexAuthJson(loginOf('alice'));
  const other = await router(box, ['import', '--from', '-', '--alias', 'home', '--json'], {
    env: bed.program.env,
    input,
  });
  if (other.code !== 0) found.push(outputOf(other));
  if (token !== null && storedIn(await bed.look()) !== token)
    found.push('import did not store what was left');
  if (homes(box).length > 0 || leaksOf(box).length > 0) found.push('import left something');
  return found;
}
