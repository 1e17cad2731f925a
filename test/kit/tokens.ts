import { randomBytes } from 'node:crypto';

/** The word in every secret a test makes; whatever codex-router writes is searched for it (canary.ts). */
export const CANARY = 'CANARY';

export const CODEX_CLIENT_ID = 'app_EMoamEEZ73f0CkXaXp7hrann';
export const OPENAI_ISSUER = 'https://auth.openai.com';
export const DAY = 24 * 60 * 60 * 1000;

/** Who a made-up login belongs to. `workspace` is the name accounts/check tells; null for a personal account. */
export interface Person {
  readonly accountId: string;
  readonly userId: string;
  readonly email: string;
  readonly plan: string;
  readonly workspace?: string | null;
}

export interface LoginOptions extends Person {
  /** ms epoch, default `issuedAt` + 10 days (what real access tokens live). Rounded down to a second. */
  readonly expiresAt?: number;
  /** ms epoch, default now. Rounded down to a second. */
  readonly issuedAt?: number;
  /** Tells two logins of one person apart; default random. The same options give the same tokens. */
  readonly nonce?: string;
}

export interface Login extends Person {
  readonly workspace: string | null;
  readonly access: string;
  readonly refresh: string;
  readonly idToken: string;
  /** ms epoch, equal to the access token's `exp`. */
  readonly expires: number;
  /** ms epoch, equal to the access token's `iat`. */
  readonly issued: number;
  readonly nonce: string;
}

const ACME = 'b2222222-bbbb-4bbb-8bbb-222222222222';

/**
 * alice has a personal account and a Team seat under one e-mail; alice-team and bob-team are two people in one
 * workspace; bob and carol have an account each.
 */
export const people = {
  alice: {
    accountId: 'a1111111-aaaa-4aaa-8aaa-111111111111',
    userId: 'user-alice',
    email: 'alice@example.test',
    plan: 'plus',
    workspace: null,
  },
  bob: {
    accountId: 'c3333333-cccc-4ccc-8ccc-333333333333',
    userId: 'user-bob',
    email: 'bob@example.test',
    plan: 'pro',
    workspace: null,
  },
  carol: {
    accountId: 'd4444444-dddd-4ddd-8ddd-444444444444',
    userId: 'user-carol',
    email: 'carol@example.test',
    plan: 'plus',
    workspace: null,
  },
  'alice-team': {
    accountId: ACME,
    userId: 'user-alice',
    email: 'alice@example.test',
    plan: 'team',
    workspace: 'Acme',
  },
  'bob-team': {
    accountId: ACME,
    userId: 'user-bob',
    email: 'bob@work.example.test',
    plan: 'team',
    workspace: 'Acme',
  },
} as const satisfies Record<string, Person>;

export type PersonName = keyof typeof people;

/**
 * A login with tokens shaped like OpenAI's (facts: codex.md section 2). No payload holds `-` or `_`, because OpenClaw
 * of the JSON era decodes it with atob; every third segment and the refresh token hold CANARY.
 */
export function makeLogin(options: LoginOptions): Login {
  const { accountId, userId, email, plan, workspace = null } = options;
  const nonce = options.nonce ?? randomBytes(8).toString('hex');
  const iat = Math.floor((options.issuedAt ?? Date.now()) / 1000);
  const exp = Math.floor((options.expiresAt ?? iat * 1000 + 10 * DAY) / 1000);
  const auth = {
    chatgpt_account_id: accountId,
    chatgpt_account_user_id: `${userId}__${accountId}`,
    chatgpt_compute_residency: 'no_constraint',
    chatgpt_plan_type: plan,
    chatgpt_user_id: userId,
    user_id: userId,
  };
  const access = jwt(nonce, {
    aud: ['https://api.openai.com/v1'],
    client_id: CODEX_CLIENT_ID,
    exp,
    'https://api.openai.com/auth': auth,
    'https://api.openai.com/profile': { email, email_verified: true },
    iat,
    iss: OPENAI_ISSUER,
    scp: ['openid', 'profile', 'email', 'offline_access'],
    session_id: `authsess_${nonce}`,
    sub: `auth0|${userId}`,
  });
  const idToken = jwt(nonce, {
    aud: [CODEX_CLIENT_ID],
    auth_provider: 'password',
    email,
    email_verified: true,
    exp: iat + 3600,
    'https://api.openai.com/auth': {
      ...auth,
      groups: [],
      organizations: [{ id: `org-${nonce}`, title: 'Personal', role: 'owner', is_default: true }],
    },
    iat,
    iss: OPENAI_ISSUER,
    sub: `auth0|${userId}`,
  });
  return {
    accountId,
    userId,
    email,
    plan,
    workspace,
    access,
    refresh: `rt_${CANARY}_${userId}_${nonce}`,
    idToken,
    expires: exp * 1000,
    issued: iat * 1000,
    nonce,
  };
}

/** `makeLogin` for one of `people`. */
export function loginOf(name: PersonName, options: Partial<LoginOptions> = {}): Login {
  return makeLogin({ ...people[name], ...options });
}

/** A JWT nobody signed; `jti` is padded until the payload needs neither `-` nor `_`. */
export function jwt(nonce: string, payload: Record<string, unknown>): string {
  const header = encode({ alg: 'RS256', kid: 'test', typ: 'JWT' });
  for (let pad = 0; pad < 200; pad += 1) {
    const body = encode({ ...payload, jti: nonce + '.'.repeat(pad) });
    if (!/[-_]/.test(body)) return `${header}.${body}.${CANARY}${nonce.replace(/[^A-Za-z0-9]/g, '')}`;
  }
  // A claim with characters beyond ASCII may need them at every padding; such a token is still a valid JWT.
  return `${header}.${encode({ ...payload, jti: nonce })}.${CANARY}`;
}

/** The payload of a JWT as plain JSON, for assertions. */
export function payloadOf(token: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'));
}

/** `historic`: before `auth_mode`; `0.163`: with it; `0.169`: with `oauth_provenance` and `login_owner_id`. */
export type CodexEra = 'historic' | '0.163' | '0.169';

/** The text of `$CODEX_HOME/auth.json` as the CLI of that era writes it (facts: codex.md section 1.1). */
export function codexAuthJson(
  login: Login,
  era: CodexEra = '0.169',
  changes: { readonly issuer?: string; readonly lastRefresh?: number } = {},
): string {
  const newest = era === '0.169';
  const value = {
    ...(era === 'historic' ? {} : { auth_mode: 'chatgpt' }),
    OPENAI_API_KEY: null,
    tokens: {
      id_token: login.idToken,
      access_token: login.access,
      refresh_token: login.refresh,
      ...(newest
        ? {
            oauth_provenance: { issuer: changes.issuer ?? OPENAI_ISSUER, client_id: CODEX_CLIENT_ID },
            login_owner_id: Buffer.from(login.nonce.padEnd(32, '0').slice(0, 32)).toString('base64url'),
          }
        : {}),
      account_id: login.accountId,
    },
    last_refresh: new Date(changes.lastRefresh ?? login.issued).toISOString().replace('Z', '066325Z'),
  };
  return JSON.stringify(value, null, 2);
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
