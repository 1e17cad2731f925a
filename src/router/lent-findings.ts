import { RouterError } from '../errors.js';
import { sameIdentity } from '../identity.js';
import type { IndexEntry } from '../repo/repo.js';
import type { Finding } from './finding.js';
import type { CodexHomes, LoginFile } from './lend-source.js';
import { shortTime, unlendCommand } from './lent.js';
import { nameOf, selectorOf } from './resolve.js';

/** Lendings that are not as they are on record: unfinished, gone, replaced, expired. Reads each home; writes nothing. */
export async function lentFindings(
  homes: CodexHomes,
  entries: readonly IndexEntry[],
  now: number,
): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for (const entry of entries) findings.push(...(await findingsOf(homes, entry, now)));
  return findings;
}

async function findingsOf(homes: CodexHomes, entry: IndexEntry, now: number): Promise<readonly Finding[]> {
  const { lent } = entry;
  if (lent === null) return [];
  const remedy = unlendCommand(entry);
  const finding = (code: Finding['code'], text: string, command = remedy): readonly Finding[] => [
    {
      code,
      part: 'custody',
      danger: false,
      text: `${nameOf(entry)} ${text}`,
      remedy: command,
      mend: null,
    },
  ];
  const to = `the Codex CLI in ${lent.folder}`;
  if (lent.proved === false)
    return finding('LENT_UNFINISHED', `was being lent to ${to}, and that did not end`);
  let file: LoginFile | null = null;
  try {
    const home = await homes.at(lent.folder);
    const left = (await (await home?.logins())?.readLeftover()) ?? null;
    if (left !== null) return finding('LENT_UNFINISHED', `is lent to ${to}, and its unlend did not end`);
    file = (await home?.read()) ?? null;
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    return finding('HOLDER_UNREADABLE', `is lent to ${to}, which could not be read: ${error.message}`);
  }
  if (file === null) return finding('LENT_GONE', `was lent to ${to}, which is gone`);
  const wanted = lent.what === 'grant' ? 'login' : 'lent';
  const who = file.kind === 'login' ? file.holding.identity : file.kind === 'lent' ? file.identity : null;
  if (file.kind !== wanted || who === null || !sameIdentity(who, entry.identity)) {
    const there = file.kind === 'empty' ? 'no login' : 'something else';
    const ended = lent.what === 'grant' ? ', so that login may have been revoked' : '';
    return finding('LENT_GONE', `was lent to ${to}, which has ${there} now${ended}`);
  }
  if (lent.until === undefined || lent.until > now) return [];
  const again = `codex-router lend ${selectorOf(entry)} --to codex`;
  return finding(
    'LENT_EXPIRED',
    `was lent to ${to} until ${shortTime(lent.until)}, and cannot be used there any more`,
    again,
  );
}
