import { RouterError } from '../../src/errors.js';

/** The code of the RouterError that `work` ends in. */
export async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'no error',
    (error: unknown) => (error instanceof RouterError ? error.code : String(error)),
  );
}
