import type { Grant } from '../../src/grant.js';
import type { RefreshAnswer, TokenEndpoint } from '../../src/router/token-endpoint.js';
import { Secret } from '../../src/secret.js';
import { DAY, type Login, loginOf, type PersonName } from '../kit/tokens.js';

/** One login's chain of refresh tokens. */
export interface Family {
  readonly id: string;
  readonly who: PersonName;
  /** Oldest first. */
  readonly logins: Login[];
  /** The place in `logins` of the newest one that ever came to anybody: an older one is spent. */
  delivered: number;
  revoked: boolean;
  /** Its owner has thrown it away: removed it, or logged in over it without codex-router. */
  forsaken: boolean;
}

/** What happens to one request on its way: it may get lost before or after it spent the token. */
export type Weather = 'fair' | 'down' | 'lost-before' | 'lost-after';

export interface IssuerModel {
  readonly families: readonly Family[];
  /** Refresh tokens that were presented although a later one of their family had come to somebody. */
  readonly reuses: readonly string[];
  /** Refresh tokens that the router has spent, whether or not it heard the answer. */
  readonly spentByRouter: ReadonlySet<string>;
  login(who: PersonName): Login;
  /** The one refresh that a holder makes; null for an answer that says no. */
  renew(refreshToken: string): Promise<Login | null>;
  /** These have come to somebody. */
  deliver(refreshTokens: Iterable<string>): void;
  /** Whether a holder of this one can go on with it. */
  isGood(refreshToken: string): boolean;
  /** Everything this person ever got is ended. */
  revoke(who: PersonName): void;
  familyOf(refreshToken: string): Family | undefined;
  /** The router's port; `weather` is asked before each request. */
  endpoint(weather: () => Weather, meanwhile: () => Promise<void>): TokenEndpoint;
}

/**
 * An issuer with single-use refresh tokens: a reuse revokes the family. A spent token is still taken as long as its successors have come
 * to nobody: that is all its grace is for, so neither a second holder nor a lost token can hide behind it.
 * @param look delivers whatever anybody has now
 */
export function issuerModel(now: () => number, look: () => Promise<unknown>): IssuerModel {
  const families: Family[] = [];
  const reuses: string[] = [];
  const spentByRouter = new Set<string>();
  const hand = (family: Family): Login => {
    const nonce = `${family.id}t${family.logins.length}`;
    const login = loginOf(family.who, { nonce, issuedAt: now(), expiresAt: now() + 10 * DAY });
    family.logins.push(login);
    return login;
  };
  const placeIn = ({ logins }: Family, token: string) => logins.findIndex(({ refresh }) => refresh === token);
  const familyOf = (token: string) => families.find((family) => placeIn(family, token) >= 0);

  async function renew(token: string): Promise<Login | null> {
    const family = familyOf(token);
    if (family === undefined || family.revoked) return null;
    const place = placeIn(family, token);
    if (place < family.logins.length - 1) await look();
    if (place >= family.delivered) return hand(family);
    if (!family.forsaken) reuses.push(token);
    family.revoked = true;
    return null;
  }

  return {
    families,
    reuses,
    spentByRouter,
    renew,
    familyOf,
    login(who) {
      const id = `f${families.length}`;
      const family: Family = { id, who, logins: [], delivered: 0, revoked: false, forsaken: false };
      families.push(family);
      return hand(family);
    },
    deliver(tokens) {
      for (const token of tokens) {
        const family = familyOf(token);
        if (family) family.delivered = Math.max(family.delivered, placeIn(family, token));
      }
    },
    isGood(token) {
      const family = familyOf(token);
      return family !== undefined && !family.revoked && placeIn(family, token) >= family.delivered;
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
        const token = grant.refreshToken.reveal();
        const login = await renew(token);
        if (login !== null) spentByRouter.add(token);
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
