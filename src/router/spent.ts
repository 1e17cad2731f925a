import type { Fingerprint, IndexEntry, OpenRepo } from '../repo/repo.js';
import type { Finding } from './finding.js';
import { GAVE_WAY_TO_LOGIN } from './keep-login.js';
import { nameOf, selectorOf } from './resolve.js';

interface Place {
  readonly name: string;
  readonly print: Fingerprint;
  readonly agent: string | null;
  readonly isOutside: boolean;
}

/**
 * Places that hold a grant which gave way to the stored one. One that gave way to a login of its own is alive, and its holder may go on
 * with it; of any other, its holder's next refresh would spend it a second time. (Known for as long as its back-up is kept.)
 */
export async function spentIn(
  places: readonly Place[],
  entries: readonly IndexEntry[],
  repo: Pick<OpenRepo, 'backUps'>,
): Promise<readonly Finding[]> {
  const found = places.flatMap((place) => {
    const entry = entries.find(({ former }) => former.includes(place.print));
    return entry === undefined ? [] : [{ place, entry }];
  });
  if (found.length === 0) return [];
  const alive = (await repo.backUps()).flatMap(({ reason, fingerprint }) =>
    reason === GAVE_WAY_TO_LOGIN ? [fingerprint] : [],
  );
  return found.map(({ place, entry }): Finding => {
    const { name, print, agent, isOutside } = place;
    if (alive.includes(print)) {
      const text = `${name} runs on an older login of ${nameOf(entry)} than the stored one, which it may`;
      const remedy = agent === null ? null : `codex-router use ${selectorOf(entry)} --agent ${agent}`;
      return { code: 'GRANT_OLDER', part: 'custody', danger: false, text, remedy, mend: null };
    }
    const text = `${name} holds a login of ${nameOf(entry)} that gave way to the stored one and may be spent`;
    const remedy = isOutside ? null : 'codex-router sync';
    return { code: 'GRANT_SPENT', part: 'custody', danger: true, text, remedy, mend: null };
  });
}
