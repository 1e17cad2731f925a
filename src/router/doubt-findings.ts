import type { Doubt, IndexEntry } from '../repo/repo.js';
import type { Finding } from './finding.js';
import { nameOf, selectorOf } from './resolve.js';

/** Stored logins that may not work any more, and the command that tells. */
export function doubtFindings(entries: readonly IndexEntry[]): readonly Finding[] {
  return entries.flatMap((entry): Finding[] => {
    if (entry.doubt === null) return [];
    const [why, remedy] = DOUBTED[entry.doubt];
    const text = `the stored login of ${nameOf(entry)} ${why}`;
    const isVerb = remedy === 'refresh' || remedy === 'logout';
    const command = isVerb ? `codex-router ${remedy} ${selectorOf(entry)}` : remedy;
    return [{ code: 'LOGIN_DOUBTFUL', part: 'custody', danger: false, text, remedy: command, mend: null }];
  });
}

const AGAIN = 'codex-router login, as that account';

const DOUBTED: { readonly [doubt in Doubt]: readonly [why: string, remedy: string] } = {
  'refresh-failed': ['may have been spent by a refresh of OpenClaw that failed', 'refresh'],
  'refresh-sent': ['may have been spent by a refresh that got no answer', 'refresh'],
  'login-needed': ['was ended by the issuer', AGAIN],
  restored: ['came out of a back-up or an export and may have been spent before', 'refresh'],
  'lost-outside': ['was handed over to Codex, which may have spent or revoked it', 'refresh'],
  'taken-over': ['was in the hands of another codex-router, which may have spent it', AGAIN],
  'revoke-sent': ['may be revoked: a logout was begun and did not end', 'logout'],
};
