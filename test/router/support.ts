import { RouterError } from '../../src/errors.js';
import type { RefreshAnswer } from '../../src/router/token-endpoint.js';

/** What a router function is given beside its stores: locks that are always free, an issuer that cannot be reached. */
export const SURROUNDINGS = {
  withLock: <T>(work: () => Promise<T>) => work(),
  withGrantLock: <T>(_who: unknown, work: () => Promise<T>) => work(),
  critical: <T>(work: () => Promise<T>) => work(),
  endpoint: { refresh: async (): Promise<RefreshAnswer> => ({ kind: 'failed', why: 'no network' }) },
  homes: {
    current: () => Promise.reject(new RouterError('LOGIN_NOT_FOUND', 'there is no Codex home')),
    at: async () => null,
  },
  pause: async () => undefined,
  env: {},
};

/** The code of the RouterError that `work` ends in. */
export async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'no error',
    (error: unknown) => (error instanceof RouterError ? error.code : String(error)),
  );
}
