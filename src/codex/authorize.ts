import { createHash, randomBytes } from 'node:crypto';
import { Secret } from '../secret.js';
import { CODEX_CLIENT_ID } from './token-endpoint.js';

/** What one login in a browser is made of (RFC 7636, section 4; RFC 6749, section 4.1): the secrets never leave us but for `state`. */
export interface LoginAttempt {
  /** 43 characters, 256 random bits. */
  readonly verifier: Secret;
  /** 43 characters, 256 random bits. It is in the address that a person opens. */
  readonly state: Secret;
  /** Where the browser is sent with the answer. */
  readonly redirectUri: string;
}

/** The ports whose callback the Codex client is registered with, in the order in which Codex tries them (0.169). */
export const CALLBACK_PORTS: readonly [number, number] = [1455, 1457];

/** `127.0.0.1`, as Codex writes it since 2026 (`localhost` before). */
export function redirectUriOn(port: number): string {
  return `http://127.0.0.1:${port}/auth/callback`;
}

export function newAttempt(redirectUri: string): LoginAttempt {
  const random = () => new Secret(randomBytes(32).toString('base64url'));
  return { verifier: random(), state: random(), redirectUri };
}

/**
 * The address that a person opens, with Codex 0.169's own parameters in its order. It holds `state` and the hash of the verifier, and is
 * for showing.
 * @param workspace an accountId to choose; null leaves the choice to the person.
 */
export function authorizeUrl(issuer: string, attempt: LoginAttempt, workspace: string | null): string {
  const url = new URL('/oauth/authorize', issuer);
  url.search = new URLSearchParams({
    response_type: 'code',
    client_id: CODEX_CLIENT_ID,
    redirect_uri: attempt.redirectUri,
    code_challenge: createHash('sha256').update(attempt.verifier.reveal()).digest('base64url'),
    code_challenge_method: 'S256',
    state: attempt.state.reveal(),
    scope: SCOPE,
    id_token_add_organizations: 'true',
    codex_cli_simplified_flow: 'true',
    originator: 'codex_cli_rs',
    ...(workspace !== null && { allowed_workspace_id: workspace }),
  })
    .toString()
    // Some chats end a link at a plus sign.
    .replaceAll('+', '%20');
  return url.href;
}

const SCOPE = 'openid profile email offline_access api.connectors.read api.connectors.invoke';
