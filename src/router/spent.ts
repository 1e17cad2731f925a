import type { Fingerprint, IndexEntry } from '../repo/repo.js';
import type { Finding } from './doctor.js';
import { nameOf } from './resolve.js';

/** Places that hold a grant which gave way to the stored one: their holder's next refresh would spend it a second time. */
export function spentIn(
  places: readonly { readonly name: string; readonly print: Fingerprint; readonly isOutside: boolean }[],
  entries: readonly IndexEntry[],
): readonly Finding[] {
  return places.flatMap(({ name, print, isOutside }) => {
    const entry = entries.find(({ former }) => former.includes(print));
    if (entry === undefined) return [];
    const text = `${name} holds a login of ${nameOf(entry)} that gave way to the stored one and may be spent`;
    const remedy = isOutside ? null : 'codex-router sync';
    return [{ code: 'GRANT_SPENT' as const, danger: true, text, remedy }];
  });
}
