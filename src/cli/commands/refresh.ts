import { EXIT, type ExitStatus, RouterError } from '../../errors.js';
import type { Refreshed, RefreshResult } from '../../router/refresh.js';
import { type RefreshesAnswer, type RefreshWish, refreshes } from '../../router/refreshes.js';
import { candidateOf } from '../../router/resolve.js';
import { showText } from '../../text.js';
import { hostOrNull, refreshDeps } from '../adapt.js';
import type { Cli } from '../cli.js';
import { compose } from '../compose.js';
import { DONE, type RefreshDocument } from '../documents.js';
import type { HostOptions } from '../options.js';
import { phrase } from '../people.js';
import { mendIndex } from './finish-adds.js';

export interface RefreshOptions extends HostOptions {
  readonly all?: boolean;
  readonly due?: boolean;
}

/** `codex-router refresh [selector|--all|--due]` */
export async function runRefresh(
  cli: Cli,
  selector: string | undefined,
  options: RefreshOptions,
): Promise<void> {
  const wish = wishOf(selector, options);
  const parts = compose(cli, options);
  const host = await parts.besideKeychain(() => hostOrNull(parts));
  await mendIndex(parts);
  const answer = await refreshes({ ...refreshDeps(cli, parts), host }, wish, (entry, place, of) =>
    cli.say(`refreshing ${phrase(candidateOf(entry))} (${place} of ${of}) ...`),
  );
  if (answer.named !== null) refuseOne(answer.named);
  const document = documentOf(answer);
  cli.exitWith(worst(answer.refreshed));
  cli.print(document, () => text(document, cli.now()));
  if (!cli.json) for (const note of document.notes) cli.say(`note: ${showText(note.text, 300)}`);
}

function wishOf(selector: string | undefined, { all, due }: RefreshOptions): RefreshWish {
  if ([selector, all, due].filter((one) => one !== undefined && one !== false).length > 1) {
    throw new RouterError('USAGE', 'a selector, --all and --due exclude each other', {
      hint: 'codex-router refresh --help',
    });
  }
  if (selector !== undefined) return { kind: 'one', selector };
  return { kind: all ? 'all' : 'due' };
}

const CODE_OF = {
  held: 'IDENTITY_IN_USE',
  'login-needed': 'LOGIN_NEEDED',
  failed: 'REFRESH_FAILED',
  unanswered: 'REFRESH_UNANSWERED',
  doubtful: 'LOGIN_DOUBTFUL',
} as const;

/** What was asked for by name and did not happen is an error. */
function refuseOne({ entry, result, why, remedy }: Refreshed): void {
  if (result === 'refreshed' || result === 'superseded') return;
  const message = `${phrase(candidateOf(entry))} was not refreshed: ${why}`;
  throw new RouterError(CODE_OF[result], message, { hint: remedy ?? 'codex-router status' });
}

const SEVERITY: { readonly [result in RefreshResult]: ExitStatus } = {
  refreshed: EXIT.ok,
  held: EXIT.ok,
  superseded: EXIT.ok,
  doubtful: EXIT.login,
  'login-needed': EXIT.login,
  failed: EXIT.outside,
  unanswered: EXIT.busy,
};

/** A login that has ended is for a person, and comes first; then what may mend itself. */
function worst(refreshed: readonly Refreshed[]): ExitStatus {
  const all = refreshed.map(({ result }) => SEVERITY[result]);
  return [EXIT.login, EXIT.busy, EXIT.outside].find((status) => all.includes(status)) ?? EXIT.ok;
}

export function refreshedIn({ entry, result, why, remedy }: Refreshed): RefreshDocument['refreshed'][number] {
  return { identity: candidateOf(entry), result, why, remedy, expiresAt: entry.expiresAt };
}

function documentOf({ refreshed, left, notes }: RefreshesAnswer): RefreshDocument {
  return {
    ...DONE,
    refreshed: refreshed.map(refreshedIn),
    notDue: left.map(candidateOf),
    notes: [...notes],
  };
}

function text({ refreshed, notDue }: RefreshDocument, now: number): string {
  if (refreshed.length === 0 && notDue.length === 0) return 'no identity is stored yet: codex-router login';
  const lines = refreshed.flatMap((one) => refreshedLines(one, now));
  if (notDue.length > 0)
    lines.push(`${notDue.length} not due: their access tokens live for another day at least`);
  return lines.join('\n');
}

const HAPPENED: { readonly [result in RefreshResult]: string } = {
  refreshed: 'refreshed',
  held: 'left to its holder',
  'login-needed': 'has to log in again',
  failed: 'not refreshed, nothing was spent',
  unanswered: 'no answer, will be asked again',
  superseded: 'replaced meanwhile',
  doubtful: 'not asked about',
};

export function refreshedLines(
  { identity, result, why, remedy, expiresAt }: RefreshDocument['refreshed'][number],
  now: number,
): string[] {
  const days = Math.max(0, Math.round((expiresAt - now) / 86_400_000));
  const lives = result === 'refreshed' ? `, its access token lives for ${days} day(s)` : '';
  const because = why === null ? '' : `: ${showText(why, 200)}`;
  const line = `${phrase(identity)}: ${HAPPENED[result]}${lives}${because}`;
  return remedy === null ? [line] : [line, `  next: ${remedy}`];
}
