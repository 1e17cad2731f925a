import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import t from 'tap';
import { outputOf } from '../kit/process.js';
import type { JsonDocument } from '../kit/router.js';
import { type Bed, callsOf, chosen, inParallel, type Scenario, twoBeds } from './bed.js';
import { figure, LONGER } from './figures.js';
import { type RealEyes, realEyes } from './real-look.js';
import * as scenarios from './scenarios.js';
import { strike, type WriteCall } from './strace.js';

/** Of a database, which is large, every so many are kept for the real OpenClaw to read. */
const EVERY = 4;

for (const scenario of chosen(scenarios)) {
  t.test(`killed at any write: ${scenario.name}`, async (t) => {
    const beds = await twoBeds(t, scenario);
    const [first] = beds;
    if (first === undefined) return;
    const eyes = scenario.eyes === undefined ? null : realEyes(t, scenario.eyes);
    const kept = mkdtempSync(path.join(tmpdir(), 'codex-router-kept-'));
    t.teardown(() => rmSync(kept, { recursive: true, force: true }));

    const calls = await callsOf(first);
    t.ok(calls.length >= 10, `${calls.length} calls to be killed at`);
    const points = [...calls.keys()].filter((index) => LONGER > 1 || index % (scenario.every ?? 1) === 0);
    await inParallel(beds, points, async (bed, index) => {
      const really = async () => {
        if (eyes === null || (scenario.node !== undefined && index % EVERY !== 0)) return [];
        return asOpenClawSees(eyes, bed, path.join(kept, String(index)));
      };
      const found = await killAt(bed, scenario, calls, index, really);
      t.same(found, [], `${index + 1}. before ${calls[index]?.what}`);
    });
    for (const { situation } of beds) {
      const reuses = situation.issuer?.reuses().length ?? 0;
      figure('reuse events', reuses);
      t.equal(reuses, 0, 'no token was spent twice');
    }
  });
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
  note('killed', [...bed.wrongs(await bed.look(), 'killed'), ...(await really())]);
  const left = isSwitchLeft(bed.box.routerHome);

  const again = await bed.run(scenario.args);
  if (left && !says(again.json)) note('again', ['it says nothing of the switch that was left']);
  const seen = await bed.look();
  const known = bed.situation.again ?? [];
  if (again.code !== 0 && !known.includes(again.json?.error?.code)) note('again', [outputOf(again)]);
  note('again', [...bed.wrongs(seen, 'done'), ...bed.situation.finished(seen)]);

  bed.restore('kept');
  const other = scenario.others[Math.floor(index / (scenario.every ?? 1)) % scenario.others.length];
  if (other !== undefined) {
    const shown = other.args.join(' ');
    const run = await bed.run(other.args);
    if (run.code !== 0 && !other.allow?.includes(run.json?.error?.code)) note(shown, [outputOf(run)]);
    note(shown, bed.wrongs(await bed.look(), 'killed'));
    // One that is refused says why, and leaves the rest to the next.
    if (left && run.code === 0 && /^(use|sync|undo) /.test(shown) && !says(run.json)) {
      note(shown, ['it says nothing of the switch that was left']);
    }
  }
  return found;
}

/** Whether the journal's last switch is one that a kill left unfinished; a torn line is none. */
function isSwitchLeft(routerHome: string): boolean {
  const file = path.join(routerHome, 'journal.jsonl');
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
  const last = lines.flatMap((line) => /"step":"(\w+)"/.exec(line)?.[1] ?? []).at(-1);
  return last === 'begun' || last === 'swapped';
}

/** Whether an answer tells what became of it. */
function says(answer: JsonDocument): boolean {
  const notes: readonly { readonly code: string }[] = answer?.notes ?? [];
  if (/had been interrupted/.test(answer?.error?.message ?? '')) return true;
  return notes.some(({ code }) => ['FINISHED', 'TAKEN_BACK', 'SLOT_CHANGED'].includes(code));
}

/** The real OpenClaw reads the same logins as our own strict reader. */
async function asOpenClawSees(eyes: RealEyes, bed: Bed, copy: string): Promise<readonly string[]> {
  cpSync(bed.box.stateDir, copy, { recursive: true, preserveTimestamps: true });
  const { host } = await bed.look();
  const real = await eyes(copy, 'agent:main:main');
  rmSync(copy, { recursive: true });
  const mains = host.logins.filter(({ place }) => /^(agents\/main|state)\//.test(place));
  const own = Object.fromEntries(mains.map(({ profileId, refresh }) => [profileId, refresh]));
  return [
    ...Object.keys({ ...own, ...real.logins })
      .filter((id) => own[id] !== real.logins[id])
      .map((id) => `the real OpenClaw reads ${id} otherwise`),
    ...(real.session === false ? ['the real OpenClaw finds no main session'] : []),
  ];
}
