import t from 'tap';
import { outputOf } from '../kit/process.js';
import { type Bed, callsOf, chosen, inParallel, type Scenario, twoBeds } from './bed.js';
import { figure, LONGER } from './figures.js';
import * as scenarios from './scenarios.js';
import { type Errno, strike, type WriteCall } from './strace.js';

/** What a disk that is full, broken, forbidden or read-only says, to each kind of call. */
const ERRORS: readonly { readonly to: RegExp; readonly errors: readonly Errno[] }[] = [
  { to: /^openat /, errors: ['ENOSPC', 'EIO', 'EACCES', 'EROFS'] },
  { to: /^(p?write|pwrite64|p?writev|fallocate) /, errors: ['ENOSPC', 'EIO'] },
  { to: /^(fsync|fdatasync|ftruncate) /, errors: ['ENOSPC', 'EIO'] },
  { to: /^(rename|link|mkdir|symlink)(at2?)? /, errors: ['ENOSPC', 'EIO', 'EACCES', 'EROFS'] },
  { to: /^(unlink|unlinkat|rmdir|chmod|fchmod|fchmodat|utimensat) /, errors: ['EIO', 'EACCES', 'EROFS'] },
];

/** An error of one of these is an answer; any other is a bug, or says less than is known. */
const ANSWERS = ['IO', 'HOST_BUSY', 'SLOT_UNREADABLE', 'VAULT_PERMISSIONS'];

const { useRotated, useSqlite, importFirst, importNewer, rekey, refresh, undo } = scenarios;

for (const scenario of chosen({ useRotated, useSqlite, importFirst, importNewer, rekey, refresh, undo })) {
  t.test(`an error at any write: ${scenario.name}`, async (t) => {
    const beds = await twoBeds(t, scenario);
    const [first] = beds;
    if (first === undefined) return;
    const calls = await callsOf(first);
    const faults = faultsOf(calls);
    t.ok(faults.length >= 10, `${faults.length} faults`);
    if (scenario === importNewer) {
      const record = calls.findLastIndex(({ what }) => /^rename router\/records\//.test(what));
      const index = calls.findIndex(
        ({ what }, place) => place > record && /^(write|rename) .*index\.json/.test(what),
      );
      t.ok(record > 0 && index > record, 'a disk that is full between record and index is among them');
    }
    await inParallel(beds, faults, async (bed, { index, error }) => {
      const found = await failAt(bed, scenario, calls, index, error);
      t.same(found, [], `${index + 1}. ${error} from ${calls[index]?.what}`);
    });
    for (const { situation } of beds) {
      const reuses = situation.issuer?.reuses().length ?? 0;
      figure('reuse events', reuses);
      t.equal(reuses, 0, 'no token was spent twice');
    }
  });
}

/** Every call with the errors that it can return, one of them in turn unless there is time for all; a socket has others. */
function faultsOf(calls: readonly WriteCall[]): readonly { readonly index: number; readonly error: Errno }[] {
  return calls.flatMap(({ what }, index) =>
    what.endsWith(' socket')
      ? []
      : (ERRORS.find(({ to }) => to.test(what))?.errors ?? [])
          .filter((_, place, { length }) => LONGER > 1 || (index + place) % length === 0)
          .map((error) => ({ index, error })),
  );
}

async function failAt(
  bed: Bed,
  scenario: Scenario,
  calls: readonly WriteCall[],
  index: number,
  error: Errno,
): Promise<readonly string[]> {
  const found: string[] = [];
  const note = (when: string, wrongs: readonly string[]) =>
    found.push(...wrongs.map((wrong) => `${when}: ${wrong}`));
  const run = await strike(bed.program, bed.box.root, calls, index, error);
  figure('faults injected', 1);
  const answer = JSON.parse(run.stdout);
  if (run.code !== 0 && !ANSWERS.includes(answer.error?.code)) note('failed', [outputOf(run)]);
  const after = await bed.look();
  note('failed', bed.wrongs(after, 'failed'));
  if (run.code === 0) note('succeeded', bed.situation.finished(after));

  bed.ageLocks();
  const again = await bed.run(scenario.args);
  const known = bed.situation.again ?? [];
  if (again.code !== 0 && !known.includes(again.json?.error?.code)) note('again', [outputOf(again)]);
  const seen = await bed.look();
  note('again', [...bed.wrongs(seen, 'done'), ...bed.situation.finished(seen)]);
  return found;
}
