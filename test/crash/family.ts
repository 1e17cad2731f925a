import type { Grant } from '../../src/grant.js';
import type { RefreshAnswer, TokenEndpoint } from '../../src/router/token-endpoint.js';
import { Secret } from '../../src/secret.js';
import { DAY, type Login, loginOf, type PersonName } from '../kit/tokens.js';

/** One login's chain of refresh tokens; only the last works. */
export interface Family {
  readonly id: string;
  readonly who: PersonName;
  /** Oldest first. */
  readonly logins: Login[];
  revoked: boolean;
}

/** What happens to one request on its way: it may get lost before or after it spent the token. */
export type Weather = 'fair' | 'down' | 'lost-before' | 'lost-after';

export interface IssuerModel {
  readonly families: readonly Family[];
  /** Refresh tokens that were presented after their successor had come to anybody. */
  readonly reuses: readonly string[];
  login(who: PersonName): Login;
  /** The one refresh that a holder makes; null for an answer that says no. */
  renew(refreshToken: string): Promise<Login | null>;
  /** Everything this person ever got is ended. */
  revoke(who: PersonName): void;
  familyOf(refreshToken: string): Family | undefined;
  /** The router's port; `weather` is asked before each request. */
  endpoint(weather: () => Weather, meanwhile: () => Promise<void>): TokenEndpoint;
}

/**
 * An issuer with single-use refresh tokens: a reuse revokes the family. The token before the last is still taken, once, when the last
 * one has come to nobody: that is all its grace is for, so a second holder can never hide behind it.
 * @param isKnown whether anybody has this refresh token
 */
export function issuerModel(now: () => number, isKnown: (refreshToken: string) => Promise<boolean>): IssuerModel {
  const families: Family[] = [];
  const reuses: string[] = [];
  const hand = (family: Family): Login => {
    const nonce = `${family.id}t${family.logins.length}`;
    const login = loginOf(family.who, { nonce, issuedAt: now(), expiresAt: now() + 10 * DAY });
    family.logins.push(login);
    return login;
  };
  const familyOf = (token: string) =>
    families.find(({ logins }) => logins.some(({ refresh }) => refresh === token));

  async function renew(token: string): Promise<Login | null> {
    const family = familyOf(token);
    if (family === undefined || family.revoked) return null;
    const [before, last] = [family.logins.at(-2), family.logins.at(-1)];
    const isLast = last?.refresh === token;
    const isRetry = before?.refresh === token && last !== undefined && !(await isKnown(last.refresh));
    if (isLast || isRetry) return hand(family);
    reuses.push(token);
    family.revoked = true;
    return null;
  }

  return {
    families,
    reuses,
    renew,
    familyOf,
    login(who) {
      const family: Family = { id: `f${families.length}`, who, logins: [], revoked: false };
      families.push(family);
      return hand(family);
    },
    revoke(who) {
      for (const family of families) if (family.who === who) family.revoked = true;
    },
    endpoint: (weather, meanwhile) => ({
      async refresh(grant) {
        const sky = weather();
        if (sky === 'down') return { kind: 'failed', why: 'there is no network' };
        if (sky === 'lost-before') return { kind: 'unanswered', why: 'the request was lost' };
        await meanwhile();
        const login = await renew(grant.refreshToken.reveal());
        if (sky === 'lost-after') return { kind: 'unanswered', why: 'the answer was lost' };
        return answer(grant, login);
      },
    }),
  };
}

function answer(grant: Grant, login: Login | null): RefreshAnswer {
  if (login === null) return { kind: 'refused', reason: 'invalid', why: 'it said no' };
  return {
    kind: 'renewed',
    grant: {
      ...grant,
      accessToken: new Secret(login.access),
      refreshToken: new Secret(login.refresh),
      idToken: new Secret(login.idToken),
      expiresAt: login.expires,
      lastRefresh: login.issued,
    },
  };
}
