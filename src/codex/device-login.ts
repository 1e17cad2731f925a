import * as z from 'zod/mini';
import { RouterError } from '../errors.js';
import { type JsonObject, parseJsonObject } from '../json.js';
import { Secret } from '../secret.js';
import { type HttpDeps, type HttpOutcome, type HttpRequest, send } from './http.js';
import { codeIn, LOGIN_CODES } from './issuer-error.js';
import { type LoginCode, loginIssuerUrl } from './login-exchange.js';
import { CODEX_CLIENT_ID } from './token-endpoint.js';

export interface DeviceLoginDeps extends HttpDeps {
  /** ms epoch */
  readonly now: () => number;
  /** Ends after `ms`, or with the signal's reason. */
  readonly pause: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** `DeviceCode` of the router's port, which documents every member. */
export interface DeviceCode {
  readonly userCode: string;
  readonly url: string;
  readonly expiresAt: number;
  readonly id: Secret;
  readonly interval: number;
}

/** ms that a code is good for (Codex CLI 0.169: the client's own limit). */
const LIFE = 15 * 60 * 1000;

/** Seconds between two questions where the issuer does not say (RFC 8628, section 3.2), and the least and most that are kept to. */
const INTERVAL = { usual: 5, least: 1, most: 60 } as const;

/** ms by which `slow_down` lengthens the interval, for good (RFC 8628, section 3.5). */
const SLOWER = 5000;

/** Of the request for a code, which nobody waits for long. */
const ATTEMPTS = 3;

const DeviceAnswer = z.object({
  device_auth_id: z.string().check(z.minLength(1)),
  user_code: z.optional(z.unknown()),
  usercode: z.optional(z.unknown()),
  interval: z.optional(z.unknown()),
});

/** `LoginIssuer.deviceCode` of the router's port. */
export async function requestDeviceCode(deps: DeviceLoginDeps, signal: AbortSignal): Promise<DeviceCode> {
  const device = await findDeviceCode(deps, signal);
  if (device === null) throw notEnabled();
  return device;
}

/**
 * Begins a device login as the Codex CLI 0.169 does, but takes an `interval` that is a string, a number or missing, and a code under
 * either of its names: `LoginIssuer.deviceCodeOrNone` of the router's port.
 */
export async function findDeviceCode(deps: DeviceLoginDeps, signal: AbortSignal): Promise<DeviceCode | null> {
  const issuer = loginIssuerUrl(deps.testIssuer);
  for (let attempt = 1; ; attempt += 1) {
    const { status, body, why } = await ask(deps, {
      method: 'POST',
      url: `${issuer}/api/accounts/deviceauth/usercode`,
      json: { client_id: CODEX_CLIENT_ID },
      signal,
    });
    if (status === null) throw failed(why);
    if (status >= 200 && status < 300) return deviceCodeIn(body, issuer, deps.now());
    if (status === 404) return null;
    if (!isPassing(status) || attempt === ATTEMPTS) throw failed(why);
    await deps.pause(attempt * 1000, signal);
  }
}

function deviceCodeIn(body: JsonObject | null, issuer: string, now: number): DeviceCode {
  const { data } = DeviceAnswer.safeParse(body);
  const userCode = data?.user_code ?? data?.usercode;
  if (!data || typeof userCode !== 'string' || !/^[\x21-\x7e]{1,64}$/.test(userCode)) {
    throw failed('the issuer answered without a usable code');
  }
  return {
    userCode,
    url: `${issuer}/codex/device`,
    expiresAt: now + LIFE,
    id: new Secret(data.device_auth_id),
    interval: intervalOf(data.interval),
  };
}

/** ms */
function intervalOf(given: unknown): number {
  const seconds = typeof given === 'string' && given.trim() !== '' ? Number(given) : given;
  const { usual, least, most } = INTERVAL;
  const isUsable = typeof seconds === 'number' && Number.isFinite(seconds) && seconds >= 0;
  return Math.min(Math.max(isUsable ? seconds : usual, least), most) * 1000;
}

const Approved = z.object({
  authorization_code: z.string().check(z.minLength(1)),
  code_verifier: z.string().check(z.minLength(1)),
});

/**
 * Asks until the issuer has a word of the person: `LoginIssuer.approval` of the router's port. 403 and 404 mean that there is none yet,
 * and so does OpenAI's code for it at any status. What passes (429, 5xx, no connection) is asked again, ever more rarely.
 */
export async function awaitApproval(
  deps: DeviceLoginDeps,
  device: DeviceCode,
  signal: AbortSignal,
): Promise<LoginCode> {
  let { interval } = device;
  let trouble: string | null = null;
  let troubles = 0;
  for (;;) {
    const said = await askApproval(deps, { ...device, interval }, signal);
    if (said.kind === 'approved') return said.code;
    if (said.kind === 'pending') interval = said.interval;
    troubles = said.kind === 'unanswered' ? troubles + 1 : 0;
    trouble = said.kind === 'unanswered' ? said.why : null;
    const wait = Math.min(interval * 2 ** Math.min(troubles, 10), Math.max(interval, INTERVAL.most * 1000));
    const left = device.expiresAt - deps.now();
    if (left <= 0) throw trouble === null ? expired() : failed(trouble);
    await deps.pause(Math.min(wait, left), signal);
  }
}

/** `ApprovalAnswer` of the router's port, which documents every member. */
type Answer =
  | { readonly kind: 'approved'; readonly code: LoginCode }
  | { readonly kind: 'pending'; readonly interval: number }
  | { readonly kind: 'unanswered'; readonly why: string };

/** Asks once: `LoginIssuer.askApproval` of the router's port. */
export async function askApproval(
  deps: HttpDeps,
  { id, userCode, interval }: Pick<DeviceCode, 'id' | 'userCode' | 'interval'>,
  signal: AbortSignal,
): Promise<Answer> {
  const issuer = loginIssuerUrl(deps.testIssuer);
  const { status, body, why } = await ask(deps, {
    method: 'POST',
    url: `${issuer}/api/accounts/deviceauth/token`,
    json: { device_auth_id: id.reveal(), user_code: userCode },
    signal,
  });
  signal.throwIfAborted();
  const code = codeIn(body, LOGIN_CODES);
  const said = verdictOf(status, code, body);
  if (said === 'denied') throw denied();
  if (said === 'expired') throw expired();
  if (said === 'failed') throw failed(why);
  if (said === 'passing') return { kind: 'unanswered', why };
  if (said === 'pending') {
    return { kind: 'pending', interval: code === 'slow_down' ? interval + SLOWER : interval };
  }
  return { kind: 'approved', code: { ...said, redirectUri: `${issuer}/deviceauth/callback` } };
}

type Verdict = 'pending' | 'passing' | 'denied' | 'expired' | 'failed' | Omit<LoginCode, 'redirectUri'>;

function verdictOf(status: number | null, code: string | null, body: JsonObject | null): Verdict {
  const meant = MEANING.get(code ?? '');
  if (meant !== undefined) return meant;
  if (status === null) return 'passing';
  if (status >= 200 && status < 300) {
    const { data } = Approved.safeParse(body);
    if (!data) return 'failed';
    return { code: new Secret(data.authorization_code), verifier: new Secret(data.code_verifier) };
  }
  if (status === 403 || status === 404) return 'pending';
  return isPassing(status) ? 'passing' : 'failed';
}

/** RFC 8628, section 3.5, and OpenAI's own for "nobody has typed it in yet". */
const MEANING: ReadonlyMap<string, 'pending' | 'denied' | 'expired'> = new Map([
  ['authorization_pending', 'pending'],
  ['slow_down', 'pending'],
  ['deviceauth_authorization_unknown', 'pending'],
  ['access_denied', 'denied'],
  ['expired_token', 'expired'],
]);

interface Asked {
  /** Null when no answer came. */
  readonly status: number | null;
  readonly body: JsonObject | null;
  /** What went wrong, if something did. */
  readonly why: string;
}

async function ask(deps: HttpDeps, request: HttpRequest): Promise<Asked> {
  const outcome: HttpOutcome = await send(deps, request);
  if (outcome.kind === 'redirected') return { status: outcome.status, body: null, why: outcome.why };
  if (outcome.kind !== 'answered') return { status: null, body: null, why: outcome.why };
  const { status } = outcome;
  const body = parseJsonObject(outcome.body);
  const code = codeIn(body, LOGIN_CODES);
  const isSuccess = status >= 200 && status < 300;
  const said = isSuccess ? `${status} with something else than a login` : `${status}`;
  return { status, body, why: `the issuer answered ${code === null ? said : `${status} ${code}`}` };
}

/** Worth asking again. */
function isPassing(status: number): boolean {
  return status === 429 || status >= 500;
}

function notEnabled(): RouterError {
  return new RouterError('LOGIN_FAILED', 'the issuer offers no device login for this client', {
    hint: 'codex-router login --browser',
  });
}

function denied(): RouterError {
  return new RouterError('LOGIN_DENIED', 'the login was refused in the browser', {
    hint: 'nothing was stored; codex-router login starts again',
  });
}

function expired(): RouterError {
  return new RouterError('LOGIN_EXPIRED', 'the code has expired: nobody approved it within 15 minutes', {
    hint: 'nothing was stored; codex-router login gives a new one',
  });
}

function failed(why: string): RouterError {
  return new RouterError('LOGIN_FAILED', `the login failed: ${why}`, {
    hint: 'nothing was stored; codex-router login starts again, codex-router login --browser is another way',
  });
}
