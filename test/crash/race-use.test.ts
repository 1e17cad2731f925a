import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { startIssuer } from '../kit/issuer.js';
import { nativeState } from '../kit/native.js';
import { real } from '../kit/real.js';
import type { Release } from '../kit/releases.js';
import { leaksOf, router, sandbox } from '../kit/router.js';
import { codexAuthJson } from '../kit/tokens.js';
import { figure, LONGER, SEED } from './figures.js';
import {
  chances,
  crowd,
  hostTurns,
  lostIn,
  oneOf,
  type Ran,
  readBooks,
  startWorkers,
  wrongIn,
} from './race.js';

const BUSY = 75;

/** Right answers beside success: what the command wants was made impossible by what another had just done. */
const RIGHT: { readonly [command: string]: readonly string[] } = {
  // Whoever is in the slot is refreshed by its holder.
  refresh: ['IDENTITY_IN_USE'],
  undo: ['NOTHING_TO_UNDO'],
  use: ['NO_PREVIOUS'],
};

interface RaceOptions {
  readonly release: Release;
  /** ms of racing. */
  readonly lasts: number;
  /** How many processes switch at the same moment. */
  readonly processes: number;
}

/** Races on one state directory until the time is over; each round ends with everything looked at. */
async function race(t: Test, options: RaceOptions): Promise<void> {
  const { release, lasts, processes } = options;
  const found = real(t, 'node24');
  if (found === null) return;
  const issuer = await startIssuer(t);
  const box = sandbox(t);
  box.env.CODEX_ROUTER_KEY = 'file';
  box.env.CODEX_ROUTER_TEST_ISSUER = issuer.url;
  const state = await nativeState(t, box, release);
  if (state === null) return;
  // Both keep something in SQLite, which not every Node can read.
  const node = found.node24;

  // Tokens that are about to expire: OpenClaw refreshes at every turn.
  issuer.behaviour.accessTtl = 120;
  const persons = crowd(processes);
  const [first, ...others] = persons.map((person) => issuer.mint(person));
  if (first === undefined) throw new Error('nobody races');
  state.plant(first);
  const workers = await startWorkers(t, box, node, 8);
  const [lead] = workers;
  if (lead === undefined) throw new Error('nobody works');
  const files = path.join(box.root, 'logins');
  mkdirSync(files, { mode: 0o700 });
  for (const login of others) {
    const file = path.join(files, `${login.userId}.json`);
    writeFileSync(file, codexAuthJson(login), { mode: 0o600 });
    const { json } = await lead.run(['import', '--from', file]);
    if (!json.ok) throw new Error(JSON.stringify(json));
  }
  const turns = hostTurns(t, box, issuer, {
    node: found.node24,
    root: state.claw.root,
    profileId: state.traits.slot,
  });
  t.strictSame(await turns.take(1), [null], 'OpenClaw uses the login in its slot');
  t.match(await lead.run(['sync']), { status: 0 }, 'and codex-router brings it home');
  const sessions = Object.fromEntries(
    Object.entries(state.sessions()).map(([key, { sessionId }]) => [key, sessionId]),
  );
  const slot = `main/${state.traits.slot}`;

  const answers = new Map<string, number>();
  const complaints: string[] = [];
  let steps = 0;
  const note = ({ args, status, json }: Ran) => {
    steps += 1;
    const [command = ''] = args;
    const code = json.ok ? 'ok' : json.error.code;
    const name = `${command} ${code}`;
    answers.set(name, (answers.get(name) ?? 0) + 1);
    const right = status === 0 || status === BUSY || RIGHT[command]?.includes(code);
    if (!right)
      complaints.push(`${args.join(' ')}: ${status} ${JSON.stringify(json.error ?? json.refreshed)}`);
    for (const { result, why } of json.refreshed ?? []) {
      if (['login-needed', 'failed', 'unanswered', 'doubtful'].includes(result))
        complaints.push(`${args.join(' ')}: ${result}: ${why}`);
    }
  };

  const hot = persons.slice(0, 6);
  const lineOf = (chance: () => number): readonly string[] => {
    const kind = chance();
    const { accountId } = oneOf(chance, chance() < 0.7 ? hot : persons);
    if (kind < 0.5) return ['use', accountId];
    if (kind < 0.55) return ['use', '-'];
    if (kind < 0.72) return ['refresh', accountId];
    if (kind < 0.74) return ['refresh', '--due'];
    if (kind < 0.84) return ['sync'];
    if (kind < 0.92) return ['undo'];
    return ['status'];
  };

  const end = performance.now() + lasts * LONGER;
  let turned = 0;
  for (let round = 0; round === 0 || performance.now() < end; round += 1) {
    const chance = chances(SEED + round);
    // The answer to a refresh that is under way comes late now and then, so that others meet it.
    issuer.behaviour.refreshFaults = Array.from({ length: 3 }, () => ({
      kind: 'delay',
      ms: Math.floor(chance() * 400),
    }));
    let racing = true;
    const host = (async () => {
      while (racing) {
        turned += (await turns.take(chance() < 0.3 ? 2 : 1)).length;
        await new Promise((resolve) => setTimeout(resolve, Math.floor(chance() * 600)));
      }
    })();
    const programs = round === 0 ? processes : 2;
    await Promise.all([
      ...persons.slice(0, programs).map(async ({ accountId }) => {
        const args = ['use', accountId, '--json'];
        const { code, json } = await router(box, args, { node, timeout: 120_000 });
        note({ args, status: code ?? -1, json });
      }),
      ...workers.map(async (worker, index) => {
        const own = chances(SEED + 1000 * round + index + 1);
        for (let step = 0; step < 40; step += 1) note(await worker.run(lineOf(own)));
      }),
    ]);
    racing = false;
    await host;

    const home: Ran = await lead.run(['sync']);
    const books = await readBooks(box, state);
    const wrong: string[] = [
      ...complaints,
      ...wrongIn(books, issuer, persons, slot),
      ...(home.status === 0 ? [] : [`sync: ${JSON.stringify(home.json.error)}`]),
    ];
    figure('reuse events', issuer.reuses().length);
    figure('identities lost', lostIn(books, issuer, persons));
    t.strictSame(wrong, [], `round ${round} of seed ${SEED}`);
    t.strictSame(issuer.reuses(), [], 'no refresh token was used twice');
    if (wrong.length > 0 || issuer.reuses().length > 0) break;
  }
  steps += turned;
  figure('race steps', steps);
  const rotated = issuer.of('refresh').length;
  t.ok(rotated > processes, `${rotated} grants were rotated`);
  const kept = Object.entries(state.sessions());
  const gone = Object.entries(sessions).filter(
    ([key, id]) => !kept.some(([name, entry]) => name === key && entry.sessionId === id),
  );
  figure('session entries lost', gone.length);
  t.strictSame(gone, [], 'every session is still there');
  t.strictSame(state.integrity(), []);
  t.strictSame(leaksOf(box), []);
  const told = [...answers].sort().map(([name, count]) => `${name}: ${count}`);
  t.comment(
    `${release}: ${steps} steps, ${turned} of them turns of OpenClaw, ${rotated} refreshes; ${told.join(', ')}`,
  );
}

t.test('50 at once, with a real OpenClaw on JSON files that refreshes its slot, lose nothing', async (t) => {
  await race(t, {
    release: '2026.6.1',
    lasts: 45_000,
    processes: 50,
  });
});

t.test('12 at once, with a real OpenClaw on SQLite that refreshes its slot, lose nothing', async (t) => {
  await race(t, { release: '2026.9.6', lasts: 30_000, processes: 12 });
});
