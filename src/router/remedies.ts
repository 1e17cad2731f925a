/** What only a person can do, at the issuer; each completes a hint. */
export const LOG_IN_AGAIN = 'codex-router login, as that account';
export const LOG_IN_AS_WANTED = 'codex-router login, as the one you want';
