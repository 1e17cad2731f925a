import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
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
function scenario(name: string, isLeft: boolean): Scenario {
  return {
    name,
    args: ['add', 'new', '--yes', '--json'],
    others: [],
    prepare: async (t, box, given) => {
      const issuer = await startIssuer(t);
      const env = { ...given, CODEX_ROUTER_TEST_ISSUER: issuer.url };
      makeState(box.stateDir, { release: '2026.5.7', slot: null });
      const old = issuer.mint(people.bob, { issuedAt: Date.now() - 60_000 });
      await router(box, ['import', '--from', '-', '--alias', 'old'], { env, input: codexAuthJson(old) });
      const login = () => codexAuthJson(issuer.mint(people.bob), '0.169', { issuer: issuer.url });
      mkdirSync(path.join(box.root, 'ready'));
      for (const name of ['1', '2', '3']) write(path.join(box.root, 'ready', name), login());
      write(path.join(box.bin, 'codex'), STAND_IN, 0o755);
      if (isLeft) {
        // No process has this start.
        const home = path.join(box.routerHome, 'codex-homes', `${process.pid}-1-0123456789ab`);
        mkdirSync(home, { recursive: true, mode: 0o700 });
        write(path.join(home, 'auth.json'), login());
        write(path.join(home, 'codex-router-add.json'), '{"alias":"new","expect":null}');
      }
      return {
        known: [newest(old, { sealed: true })],
        env,
        issuer,
        finished: (seen) => (seen.sealed.length === 1 ? [] : ['the old login was not sealed']),
      };
    },
  };
}

function write(file: string, text: string, mode = 0o600): void {
  writeFileSync(file, text, { mode });
}

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

/** Logins that lie ready at first, less those that one `add` takes. */
const READY = 3;

const makes = scenario('add, of an identity that is stored already', false);
const finishes = scenario('add, of one whose login an interrupted add had made', true);

for (const one of [makes, finishes]) {
  t.test(
    `killed at any write, it loses no login that was made, and makes no second one: ${one.name}`,
    async (t) => {
      const beds = await twoBeds(t, one);
      const [first] = beds;
      if (first === undefined) return;
      const calls = await callsOf(first);
      // Who uses a left home is looked up among all processes, so the number of opened files is another each time.
      const points = [...calls.keys()].filter((index) => one === makes || calls[index]?.name !== 'openat');
      t.ok(points.length >= 20, `${points.length} calls to be killed at`);
      const left = { made: 0, empty: 0 };
      await inParallel(beds, points, async (bed, index) => {
        await strike(bed.program, bed.box.root, calls, index, 'kill');
        figure('kill points', 1);
        bed.ageLocks();
        bed.keep();
        const found = await afterKill(bed, one, left);
        t.same(found, [], `${index + 1}. before ${calls[index]?.what}`);
      });
      t.ok(
        left.made > 0 && left.empty > 0,
        `a login was left ${left.made} times, no login ${left.empty} times`,
      );
    },
  );
}

async function afterKill(
  bed: Bed,
  one: Scenario,
  left: { made: number; empty: number },
): Promise<readonly string[]> {
  const { box } = bed;
  const found: string[] = [];
  const before = await bed.look();
  const token = lying(box)[0] ?? null;
  const wanted = one === makes ? READY - 1 : READY;
  const isMade = ready(box).length === wanted;
  if (isMade && token === null && storedIn(before) === undefined) found.push('the login is lost');
  if (token !== null) left.made += 1;
  else if (homes(box).length > 0) left.empty += 1;
  found.push(...before.problems);

  const again = await bed.run(one.args);
  const seen = await bed.look();
  // It had come to its end but for what was left to say.
  const isNamed = token === null && again.json?.error?.code === 'USAGE' && isMade;
  if (again.code !== 0 && !isNamed) found.push(outputOf(again));
  found.push(...bed.wrongs(seen, 'done'));
  if (homes(box).length > 0) found.push('a home is left');
  if (ready(box).length !== wanted) found.push('a second login was made');
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
