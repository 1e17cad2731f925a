import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import t from 'tap';
import { outputOf } from '../kit/process.js';
import { type Bed, bedFor, type Scenario } from './bed.js';
import { figure } from './figures.js';
import { type RealEyes, realEyes } from './real-look.js';
import * as scenarios from './scenarios.js';
import { strike, type WriteCall, writeCalls } from './strace.js';

/** Of a database, which is large, every so many are kept for the real OpenClaw to read. */
const EVERY = 4;

const only = process.env.CRASH_ONLY;
for (const scenario of Object.values(scenarios).filter(({ name }) => !only || name.includes(only))) {
  t.test(`killed at any write: ${scenario.name}`, async (t) => {
    const beds = [await bedFor(t, scenario), await bedFor(t, scenario)].filter((bed) => bed !== null);
    const [first] = beds;
    if (first === undefined) return;
    const eyes = scenario.eyes === undefined ? null : realEyes(t, scenario.eyes);
    const kept = mkdtempSync(path.join(tmpdir(), 'codex-router-kept-'));
    t.teardown(() => rmSync(kept, { recursive: true, force: true }));

    const calls = await callsOf(first);
    t.ok(calls.length >= 10, `${calls.length} calls to be killed at`);
    const waiting = [...calls.keys()];
    await Promise.all(
      beds.map(async (bed) => {
        for (let index = waiting.shift(); index !== undefined; index = waiting.shift()) {
          const found = await killAt(bed, scenario, calls, index, async () => {
            if (eyes === null || (scenario.node !== undefined && index % EVERY !== 0)) return [];
            return asOpenClawSees(eyes, bed, path.join(kept, String(index)));
          });
          t.same(found, [], `${index + 1}. before ${calls[index]?.what}`);
        }
      }),
    );
  });
}

/** The calls of a whole run, whose end must be right before anything is broken. */
async function callsOf(bed: Bed): Promise<readonly WriteCall[]> {
  const calls = await writeCalls(bed.program, bed.box.root);
  const seen = await bed.look();
  const wrongs = [...bed.wrongs(seen, true), ...bed.situation.finished(seen)];
  if (wrongs.length > 0) throw new Error(wrongs.join('\n'));
  return calls;
}

async function killAt(
  bed: Bed,
  scenario: Scenario,
  calls: readonly WriteCall[],
  index: number,
  really: () => Promise<readonly string[]>,
): Promise<readonly string[]> {
  const found: string[] = [];
  const note = (when: string, wrongs: readonly string[]) =>
    found.push(...wrongs.map((wrong) => `${when}: ${wrong}`));
  await strike(bed.program, bed.box.root, calls, index, 'kill');
  figure('kill points', 1);
  bed.ageLocks();
  bed.keep();
  note('killed', [...bed.wrongs(await bed.look(), false), ...(await really())]);

  const again = await bed.run(scenario.args);
  const seen = await bed.look();
  const known = bed.situation.again ?? [];
  if (again.code !== 0 && !known.includes(again.json?.error?.code)) note('again', [outputOf(again)]);
  note('again', [...bed.wrongs(seen, true), ...bed.situation.finished(seen)]);

  bed.restore('kept');
  const other = scenario.others[index % scenario.others.length];
  if (other !== undefined) {
    const shown = other.args.join(' ');
    const run = await bed.run(other.args);
    if (run.code !== 0 && !other.allow?.includes(run.json?.error?.code)) note(shown, [outputOf(run)]);
    note(shown, bed.wrongs(await bed.look(), false));
  }
  return found;
}

/** The real OpenClaw reads the same logins as our own strict reader. */
async function asOpenClawSees(eyes: RealEyes, bed: Bed, copy: string): Promise<readonly string[]> {
  cpSync(bed.box.stateDir, copy, { recursive: true, preserveTimestamps: true });
  const { host } = await bed.look();
  const real = await eyes(copy, 'agent:main:main');
  rmSync(copy, { recursive: true });
  const own = Object.fromEntries(host.logins.map(({ profileId, refresh }) => [profileId, refresh]));
  return [
    ...Object.keys({ ...own, ...real.logins })
      .filter((id) => own[id] !== real.logins[id])
      .map((id) => `the real OpenClaw reads ${id} otherwise`),
    ...(real.session === false ? ['the real OpenClaw finds no main session'] : []),
  ];
}
