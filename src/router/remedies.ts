/** What only a person can do, at the issuer; each completes a hint. */
export const LOG_IN_AGAIN = 'log that account in again, then codex-router import';
export const LOG_IN_AS_WANTED = 'log in again as the one you want, then codex-router import';
