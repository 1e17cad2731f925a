import { createHash, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { listen, makeResponses, type Responses } from './backend.js';
import type { Owner } from './router.js';
import {
  CANARY,
  CODEX_CLIENT_ID,
  type Login,
  type LoginOptions,
  makeLogin,
  type Person,
  people,
} from './tokens.js';

export type RequestKind =
  | 'authorize'
  | 'usercode'
  | 'device-token'
  | 'login'
  | 'refresh'
  | 'revoke'
  | 'usage'
  | 'accounts'
  | 'config'
  | 'model'
  | 'other';

/** One request as it was answered; holds no token. */
export interface IssuerRequest {
  readonly kind: RequestKind;
  readonly method: string;
  readonly path: string;
  readonly status: number;
  /** `<accountId>/<userId>` of the bearer, the refresh token or the login; null when unknown. */
  readonly who: string | null;
  /** OpenAI's error code in the answer; null when it succeeded. */
  readonly error: string | null;
  /** How the body was written; null without one. */
  readonly form: 'json' | 'form' | null;
  readonly refreshReason: string | null;
  /** A refresh with a token that was spent already, forgiven within `graceMs`. */
  readonly graceRetry: boolean;
  /** What the client got instead of the answer. */
  readonly fault: RefreshFault['kind'] | null;
}

/**
 * What happens to one refresh. `drop-unspent`: the connection is reset before the token is looked at. After the token was
 * spent: `drop`: it is reset without an answer; `truncate`: after half of the answer; `delay`: the answer comes `ms` late.
 * `redirect`: sent elsewhere, nothing is spent.
 */
export type RefreshFault =
  | { readonly kind: 'drop-unspent' | 'drop' | 'truncate' }
  | { readonly kind: 'delay'; readonly ms: number }
  | { readonly kind: 'redirect'; readonly status: number; readonly location: string };

export interface Behaviour {
  /** Seconds an access token lives that the issuer hands out; default 10 days. */
  accessTtl: number;
  /** Polls of the device flow answered `pending` (403) before the approval is seen. */
  pendingPolls: number;
  /** Given, every refresh is answered so and spends nothing. */
  refreshAnswer: { readonly status: number; readonly body: unknown } | null;
  /** What the next refreshes meet, one each; then none. */
  refreshFaults: RefreshFault[];
  /** Given, a refresh hands out tokens of this person instead. */
  refreshAs: Person | null;
  /** Fields left out of a refresh's answer. */
  refreshOmit: readonly string[];
  /**
   * For so long after its use, the token before the newest gives tokens once more if its successor was never presented; that
   * successor is dead then. Default 0: a reuse is a reuse.
   */
  graceMs: number;
  /** Given, every revocation is answered so and revokes nothing. */
  revokeAnswer: { readonly status: number; readonly body: unknown } | null;
  /** Heard when a revocation was carried out, before it is answered. */
  onRevoke: () => void;
  /** Given, a browser that asks to log in is sent back with these parameters instead of a code. */
  authorizeError: { readonly error: string; readonly error_description?: string } | null;
  /** Laid over the usage answer. */
  usage: Record<string, unknown>;
  /** Given, what each person's question about limits is answered instead. */
  limits: ((person: Person) => CannedAnswer) | null;
  /** ms epoch: the time this server lives in, and tells in every answer. */
  now: () => number;
  /** The `interval` of a device code; default '1'. Undefined leaves it out. */
  interval: unknown;
  /** The name of the code in the answer that begins a device login. */
  userCodeName: 'user_code' | 'usercode';
  /** What the next requests of a kind are answered instead, one each; they do nothing then. A text is sent as it is. */
  answers: { [kind in 'usercode' | 'device-token' | 'login' | 'accounts']?: CannedAnswer[] };
  /** A login is revoked as soon as it was handed out. */
  revokesLogins: boolean;
  /** Heard when an answer is ready, and waited for before it is sent. */
  onAnswer: (kind: RequestKind) => unknown;
}

export interface CannedAnswer {
  readonly status: number;
  readonly body: unknown;
}

/** A loopback stand-in for auth.openai.com and chatgpt.com that the real Codex CLI 0.169 and OpenClaw accept. */
export interface Issuer {
  /** `http://127.0.0.1:<port>`: the issuer; `<url>/backend-api` is the backend. */
  readonly url: string;
  readonly requests: readonly IssuerRequest[];
  readonly behaviour: Behaviour;
  /** The PKCE verifiers that were presented with a code: secrets without CANARY. */
  readonly verifiers: readonly string[];
  /** The model calls made through `<url>/backend-api/codex/responses`. */
  readonly model: Responses;
  /** Who approves the next device logins. */
  approveAs(person: Person): void;
  /** A login handed out without a login flow. */
  mint(person: Person, options?: Partial<LoginOptions>): Login;
  /** Knows this login from now on, as if it had been handed out here. */
  adopt(login: Login): void;
  of(kind: RequestKind): readonly IssuerRequest[];
  /** Refreshes that were answered `refresh_token_reused`: the grant's family is dead since the first of them. */
  reuses(): readonly IssuerRequest[];
  /** Refreshes that were forgiven within the grace. */
  graceRetries(): readonly IssuerRequest[];
  /** How often a refresh presented this token, whatever came of it. */
  presentations(refreshToken: string): number;
  /** Whether this refresh token would be accepted now; asking spends nothing. */
  isLive(refreshToken: string): boolean;
  /** A refresh of this token over the wire, as a client makes it; the new tokens or the error code. */
  refresh(refreshToken: string, form?: 'json' | 'form'): Promise<RefreshAnswer>;
}

export type RefreshAnswer =
  | { readonly ok: true; readonly access: string; readonly refresh: string; readonly idToken: string }
  | { readonly ok: false; readonly status: number; readonly error: string };

interface GrantRecord {
  readonly login: Login;
  readonly family: string;
  /** ms epoch; null while it was never spent. */
  usedAt: number | null;
  /** What it was last spent for. */
  successor: GrantRecord | null;
  revoked: boolean;
}

type Reply = {
  readonly status: number;
  readonly body: unknown;
  readonly location?: string;
  readonly graceRetry?: boolean;
  readonly fault?: RefreshFault;
};
type Body = Record<string, string>;

/** Starts an issuer on a free port; it stops when the test ends. Refresh tokens work once; a reuse kills their family. */
export async function startIssuer(t: Owner): Promise<Issuer> {
  const model = makeResponses();
  const requests: IssuerRequest[] = [];
  const grants = new Map<string, GrantRecord>();
  const bearers = new Map<string, GrantRecord>();
  const devices = new Map<string, { code: string; person: Person; polls: number; verifier: string }>();
  const codes = new Map<string, { person: Person; challenge: string; redirectUri?: string }>();
  const known = new Map<string, Person>(Object.values(people).map((person) => [keyOf(person), person]));
  const presented = new Map<string, number>();
  const verifiers: string[] = [];
  const behaviour: Behaviour = {
    accessTtl: 10 * 24 * 3600,
    pendingPolls: 0,
    refreshAnswer: null,
    refreshFaults: [],
    refreshAs: null,
    refreshOmit: [],
    graceMs: 0,
    revokeAnswer: null,
    onRevoke: () => undefined,
    authorizeError: null,
    usage: {},
    limits: null,
    now: Date.now,
    interval: '1',
    userCodeName: 'user_code',
    answers: {},
    revokesLogins: false,
    onAnswer: () => undefined,
  };
  let approver: Person = people.alice;

  const record = (login: Login, family: string): GrantRecord => {
    const grant = { login, family, usedAt: null, successor: null, revoked: false };
    grants.set(login.refresh, grant);
    bearers.set(login.access, grant);
    known.set(keyOf(login), login);
    return grant;
  };
  const hand = (person: Person, family: string, options: Partial<LoginOptions> = {}): GrantRecord => {
    const issuedAt = options.issuedAt ?? behaviour.now();
    const expiresAt = options.expiresAt ?? issuedAt + behaviour.accessTtl * 1000;
    const { accountId, userId, email, plan, workspace = null } = person;
    return record(
      makeLogin({ accountId, userId, email, plan, workspace, ...options, issuedAt, expiresAt }),
      family,
    );
  };
  const tokensOf = (login: Login): Reply => ({
    status: 200,
    body: {
      id_token: login.idToken,
      access_token: login.access,
      refresh_token: login.refresh,
      token_type: 'Bearer',
      expires_in: Math.round((login.expires - behaviour.now()) / 1000),
      scope: 'openid profile email offline_access',
    },
  });

  const canned = (kind: keyof Behaviour['answers']): Reply | undefined => behaviour.answers[kind]?.shift();

  const usercode = (): Reply => {
    const id = `deviceauth_${secret()}`;
    const code = `TEST-${randomBytes(3).toString('hex').slice(0, 5).toUpperCase()}`;
    devices.set(id, { code, person: approver, polls: 0, verifier: secret(48) });
    // The CLI insists on a string interval (facts: codex.md section 3.1).
    const { interval, userCodeName } = behaviour;
    return { status: 200, body: { device_auth_id: id, [userCodeName]: code, interval } };
  };

  const deviceToken = (body: Body): Reply => {
    const device = devices.get(body.device_auth_id ?? '');
    if (!device || device.code !== body.user_code) return refused(404, 'deviceauth_not_found');
    device.polls += 1;
    if (device.polls <= behaviour.pendingPolls) return refused(403, 'deviceauth_authorization_unknown');
    devices.delete(body.device_auth_id ?? '');
    const code = `ac_${secret()}`;
    const challenge = sha256(device.verifier);
    codes.set(code, { person: device.person, challenge });
    return {
      status: 200,
      body: { authorization_code: code, code_challenge: challenge, code_verifier: device.verifier },
    };
  };

  /** A person who agrees at once: Codex's own parameters (facts: codex.md section 3.2), then back to where they came from. */
  const authorize = (query: Body): Reply => {
    const { redirect_uri: redirectUri = '', code_challenge: challenge = '', state } = query;
    const isSound =
      query.response_type === 'code' &&
      query.client_id === CODEX_CLIENT_ID &&
      query.code_challenge_method === 'S256' &&
      /^[\w-]{43}$/.test(challenge) &&
      /^http:\/\/127\.0\.0\.1:(1455|1457)\/auth\/callback$/.test(redirectUri) &&
      query.scope === 'openid profile email offline_access api.connectors.read api.connectors.invoke' &&
      query.id_token_add_organizations === 'true' &&
      query.codex_cli_simplified_flow === 'true' &&
      query.originator === 'codex_cli_rs';
    if (!isSound || !state) return refused(400, 'invalid_request');
    const back = new URL(redirectUri);
    const code = `ac_${secret()}`;
    if (!behaviour.authorizeError) codes.set(code, { person: approver, challenge, redirectUri });
    const found = { ...(behaviour.authorizeError ?? { code, scope: query.scope ?? '' }), state };
    back.search = new URLSearchParams(found).toString();
    return { status: 302, body: {}, location: back.href };
  };

  const login = (body: Body): Reply => {
    verifiers.push(body.code_verifier ?? '');
    const code = codes.get(body.code ?? '');
    codes.delete(body.code ?? '');
    if (!code) return refused(400, 'invalid_grant');
    const redirectUri = code.redirectUri ?? `${issuer.url}/deviceauth/callback`;
    if (body.redirect_uri !== redirectUri) return refused(400, 'invalid_grant');
    if (sha256(body.code_verifier ?? '') !== code.challenge) return refused(400, 'invalid_grant');
    const grant = hand(code.person, secret());
    grant.revoked = behaviour.revokesLogins;
    return tokensOf(grant.login);
  };

  /** A token that was spent and may be presented once more. */
  const isInGrace = ({ usedAt, successor }: GrantRecord): boolean =>
    usedAt !== null && successor?.usedAt === null && behaviour.now() < usedAt + behaviour.graceMs;

  const refresh = (body: Body): Reply => {
    const token = body.refresh_token ?? '';
    presented.set(token, (presented.get(token) ?? 0) + 1);
    if (behaviour.refreshAnswer) return behaviour.refreshAnswer;
    const fault = behaviour.refreshFaults.shift();
    if (fault?.kind === 'drop-unspent') return { status: 0, body: {}, fault };
    if (fault?.kind === 'redirect')
      return { status: fault.status, body: {}, location: fault.location, fault };
    const grant = grants.get(token);
    if (!grant || grant.revoked) {
      return grant?.usedAt ? refused(401, 'refresh_token_reused') : refused(401, 'refresh_token_invalidated');
    }
    const graceRetry = isInGrace(grant);
    if (grant.usedAt !== null && !graceRetry) {
      for (const other of grants.values()) if (other.family === grant.family) other.revoked = true;
      return refused(401, 'refresh_token_reused');
    }
    if (grant.successor) grant.successor.usedAt = behaviour.now();
    grant.usedAt ??= behaviour.now();
    grant.successor = hand(behaviour.refreshAs ?? grant.login, grant.family);
    const { status, body: tokens } = tokensOf(grant.successor.login);
    const kept = Object.entries(tokens as object).filter(([name]) => !behaviour.refreshOmit.includes(name));
    return { status, body: Object.fromEntries(kept), graceRetry, ...(fault && { fault }) };
  };

  const revoke = (body: Body): Reply => {
    if (behaviour.revokeAnswer) return behaviour.revokeAnswer;
    const grant = grants.get(body.token ?? '') ?? bearers.get(body.token ?? '');
    for (const other of grants.values()) if (other.family === grant?.family) other.revoked = true;
    behaviour.onRevoke();
    return { status: 200, body: {} };
  };

  const backend = (path: string, who: GrantRecord): { kind: RequestKind; reply: Reply } => {
    const person = who.login;
    switch (path) {
      case '/wham/usage':
      case '/api/codex/usage':
        return {
          kind: 'usage',
          reply: behaviour.limits?.(person) ?? {
            status: 200,
            body: { ...usageOf(person), ...behaviour.usage },
          },
        };
      case '/wham/accounts/check':
      case '/api/codex/accounts/check': {
        const mine = [...known.values()].filter((other) => other.userId === person.userId);
        return { kind: 'accounts', reply: canned('accounts') ?? { status: 200, body: accountsOf(mine) } };
      }
      case '/wham/config/bundle':
        return {
          kind: 'config',
          reply: {
            status: 200,
            body: { config_toml: { enterprise_managed: [] }, requirements_toml: { enterprise_managed: [] } },
          },
        };
      case '/wham/rate-limit-reset-credits':
        return { kind: 'other', reply: { status: 200, body: { available_count: 0, credits: [] } } };
      case '/codex/models':
        return { kind: 'other', reply: { status: 200, body: { models: [] } } };
      default:
        return { kind: 'other', reply: refused(404, 'not_found') };
    }
  };

  /** Why a bearer is refused, or null. */
  const refusal = (grant: GrantRecord | undefined): Reply | null => {
    if (!grant || grant.revoked) return refused(401, 'token_invalidated');
    return grant.login.expires <= behaviour.now() ? refused(401, 'token_expired') : null;
  };

  const server = createServer(async (request, response) => {
    response.setHeader('date', new Date(behaviour.now()).toUTCString());
    const url = new URL(request.url ?? '/', 'http://issuer');
    const path = url.pathname.replace(/\/+$/, '');
    const bearer = bearers.get(request.headers.authorization?.replace(/^Bearer /, '') ?? '');
    const note = (kind: RequestKind, reply: Reply, who: Person | null, body: Body = {}) => {
      requests.push({
        kind,
        method: request.method ?? '',
        path,
        status: reply.status,
        who: who ? keyOf(who) : null,
        error: errorOf(reply.body),
        form: formOf(request),
        refreshReason: body.refresh_reason ?? null,
        graceRetry: reply.graceRetry ?? false,
        fault: reply.fault?.kind ?? null,
      });
    };
    if (path.startsWith('/backend-api/')) {
      const refusing = refusal(bearer);
      if (path === '/backend-api/codex/responses' && !refusing) {
        note('model', { status: 200, body: {} }, bearer?.login ?? null);
        model.handle(request, response);
        return;
      }
      request.resume();
      const { kind, reply } =
        refusing || !bearer
          ? { kind: 'other' as const, reply: refusing ?? refused(401, 'token_invalidated') }
          : backend(path.replace('/backend-api', ''), bearer);
      note(kind, reply, bearer?.login ?? null);
      await behaviour.onAnswer(kind);
      send(response, reply);
      return;
    }
    const body = request.method === 'GET' ? Object.fromEntries(url.searchParams) : await readBody(request);
    const holder = grants.get(body.refresh_token ?? body.token ?? '')?.login ?? null;
    const { kind, reply, who } = auth(`${request.method} ${path}`, body, holder);
    note(kind, reply, who, body);
    await behaviour.onAnswer(kind);
    send(response, reply);
  });

  const auth = (
    route: string,
    body: Body,
    holder: Person | null,
  ): { kind: RequestKind; reply: Reply; who: Person | null } => {
    switch (route) {
      case 'POST /api/accounts/deviceauth/usercode':
        return { kind: 'usercode', reply: canned('usercode') ?? usercode(), who: approver };
      case 'POST /api/accounts/deviceauth/token':
        return {
          kind: 'device-token',
          who: devices.get(body.device_auth_id ?? '')?.person ?? null,
          reply: canned('device-token') ?? deviceToken(body),
        };
      case 'GET /oauth/authorize':
        return { kind: 'authorize', reply: authorize(body), who: approver };
      case 'POST /oauth/revoke':
        return { kind: 'revoke', reply: revoke(body), who: holder };
      case 'POST /oauth/token': {
        const refreshing = body.grant_type === 'refresh_token';
        const kind = refreshing ? 'refresh' : 'login';
        if (body.client_id !== CODEX_CLIENT_ID)
          return { kind, reply: refused(401, 'invalid_client'), who: holder };
        if (refreshing) return { kind, reply: refresh(body), who: holder };
        if (body.grant_type !== 'authorization_code') {
          return { kind: 'other', reply: refused(400, 'unsupported_grant_type'), who: null };
        }
        return {
          kind,
          who: codes.get(body.code ?? '')?.person ?? null,
          reply: canned('login') ?? login(body),
        };
      }
      default:
        return { kind: 'other', reply: refused(404, 'not_found'), who: null };
    }
  };

  model.attach(server);
  const port = await listen(server, t);
  const issuer: Issuer = {
    url: `http://127.0.0.1:${port}`,
    requests,
    behaviour,
    verifiers,
    model,
    approveAs: (person) => {
      approver = person;
      known.set(keyOf(person), person);
    },
    mint: (person, options) => hand(person, secret(), options).login,
    adopt: (login) => void record(login, secret()),
    of: (kind) => requests.filter((request) => request.kind === kind),
    reuses: () => requests.filter((request) => request.error === 'refresh_token_reused'),
    graceRetries: () => requests.filter((request) => request.graceRetry),
    presentations: (token) => presented.get(token) ?? 0,
    isLive: (token) => {
      const grant = grants.get(token);
      return grant !== undefined && !grant.revoked && (grant.usedAt === null || isInGrace(grant));
    },
    refresh: async (token, form = 'form') => {
      const fields = { client_id: CODEX_CLIENT_ID, grant_type: 'refresh_token', refresh_token: token };
      const answer = await fetch(`${issuer.url}/oauth/token`, {
        method: 'POST',
        ...(form === 'json'
          ? { headers: { 'content-type': 'application/json' }, body: JSON.stringify(fields) }
          : { body: new URLSearchParams(fields) }),
      });
      const body = (await answer.json()) as Record<string, string>;
      if (!answer.ok) return { ok: false, status: answer.status, error: errorOf(body) ?? '' };
      return {
        ok: true,
        access: body.access_token ?? '',
        refresh: body.refresh_token ?? '',
        idToken: body.id_token ?? '',
      };
    },
  };
  return issuer;
}

function keyOf(person: Person): string {
  return `${person.accountId}/${person.userId}`;
}

function secret(bytes = 9): string {
  return CANARY + randomBytes(bytes).toString('base64url');
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}

function refused(status: number, code: string): Reply {
  return { status, body: { error: { message: code, type: 'invalid_request_error', param: null, code } } };
}

function errorOf(body: unknown): string | null {
  const error = (body as { error?: { code?: unknown } } | null)?.error;
  return typeof error?.code === 'string' ? error.code : null;
}

function formOf(request: IncomingMessage): 'json' | 'form' | null {
  const type = request.headers['content-type'] ?? '';
  if (type.includes('json')) return 'json';
  return type.includes('urlencoded') ? 'form' : null;
}

async function readBody(request: IncomingMessage): Promise<Body> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString('utf8');
  try {
    if (formOf(request) === 'json') return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
  return formOf(request) === 'form' ? Object.fromEntries(new URLSearchParams(text)) : {};
}

function send(response: ServerResponse, { status, body, location, fault }: Reply): void {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  if (fault?.kind === 'drop' || fault?.kind === 'drop-unspent') {
    response.socket?.resetAndDestroy();
    return;
  }
  const answer = () => {
    response.writeHead(status, { 'content-type': 'application/json', ...(location && { location }) });
    if (fault?.kind !== 'truncate') response.end(text);
    else response.write(text.slice(0, text.length / 2), () => response.socket?.destroy());
  };
  if (fault?.kind === 'delay') setTimeout(answer, fault.ms).unref();
  else answer();
}

/** Strict enough for Codex 0.169, which refuses a float or a missing field (facts: codex.md section 5.1). */
function usageOf(person: Person): Record<string, unknown> {
  const now = Math.floor(Date.now() / 1000);
  const window = (used: number, seconds: number) => ({
    used_percent: used,
    limit_window_seconds: seconds,
    reset_after_seconds: seconds / 2,
    reset_at: now + seconds / 2,
  });
  return {
    user_id: person.userId,
    account_id: person.accountId,
    email: person.email,
    plan_type: person.plan,
    rate_limit: {
      allowed: true,
      limit_reached: false,
      primary_window: window(12, 18_000),
      secondary_window: window(34, 604_800),
    },
    code_review_rate_limit: null,
    additional_rate_limits: null,
    credits: { has_credits: false, unlimited: false, balance: '0' },
    spend_control: { reached: false, individual_limit: null },
    rate_limit_reached_type: null,
  };
}

function accountsOf(mine: readonly Person[]): Record<string, unknown> {
  return {
    accounts: mine.map((person) => ({
      id: person.accountId,
      account_user_id: keyOf(person).replace('/', '__'),
      name: person.workspace ?? null,
      structure: person.workspace ? 'workspace' : 'personal',
      plan_type: person.plan,
      profile_picture_url: null,
      can_access_with_session: true,
      sso_connection_name: null,
      is_deactivated: false,
      is_fedramp_compliant_workspace: false,
      // 0.169 insists on an https origin here (facts: codex.md section 5.2).
      workspace_backend_origin: 'https://chatgpt.com',
      account_routing_override: 'NO_CONSTRAINT',
    })),
    default_account_id: mine[0]?.accountId,
    account_ordering: mine.map((person) => person.accountId),
  };
}
