import { EXIT } from '../../errors.js';
import { examine, type Finding } from '../../router/doctor.js';
import { leftFindings } from '../../router/finish-adds.js';
import { arrivalFindings } from '../../router/left-arrivals.js';
import { BEHIND } from '../../router/list.js';
import { showText } from '../../text.js';
import { hostOrNull } from '../adapt.js';
import { type Cli, painter } from '../cli.js';
import { compose } from '../compose.js';
import { DONE, type DoctorDocument } from '../documents.js';
import type { HostOptions } from '../options.js';
import { leftArrivals } from './finish-adds.js';

/** `codex-router doctor`: looks for what could cost a login, and only looks. Ends in 6 when a login is in danger. */
export async function runDoctor(cli: Cli, options: HostOptions): Promise<void> {
  const parts = compose(cli, options);
  const host = await parts.besideKeychain(() => hostOrNull(parts));
  const { hostAt, outside, journal } = parts;
  const homes = await parts.codexHomes();
  const deps = { host, hostAt, outside, journal, homes, now: cli.now };
  const left = await (await parts.isolatedLogins()).left();
  const arrivals = await leftArrivals(cli, parts);
  const findings = [
    ...(await examine(deps, await parts.openRepo())),
    ...((await parts.repo.isBehind()) ? [BEHIND] : []),
    ...leftFindings(left),
    ...arrivalFindings(arrivals),
  ];
  const inDanger = findings.some(({ danger }) => danger);
  const document: DoctorDocument = {
    ...DONE,
    inDanger,
    findings: [...findings],
    notes: [...(host?.summary.notes ?? [])],
  };
  cli.exitWith(inDanger ? EXIT.refused : EXIT.ok);
  cli.print(document, () => text(cli, findings));
  if (!cli.json) for (const note of document.notes) cli.say(`  note      ${showText(note.text, 300)}`);
}

function text(cli: Cli, findings: readonly Finding[]): string {
  if (findings.length === 0) return 'nothing is wrong: every login has one holder';
  const paint = painter(cli);
  return findings
    .flatMap(({ danger, text: sentence, remedy }) => [
      `${danger ? paint('bold', 'danger    ') : 'note      '}${showText(sentence, 600)}`,
      ...(remedy === null ? [] : [`          ${showText(remedy, 300)}`]),
    ])
    .join('\n');
}
