import { type FailureReason, GatewayFailure } from './gateway-failure.js';
import type { Answer, Hello } from './gateway-frame.js';
import type { Link } from './gateway-link.js';
import { parseReported, type Reported } from './gateway-report.js';
import { compareVersions } from './release.js';

/** The login that a gateway should report once it has read the slot again. */
export interface Wanted {
  readonly provider: string;
  readonly profileId: string;
  /** ms epoch; null for a slot that was cleared, which nothing can report. */
  readonly expiresAt: number | null;
  /** Whose turns are meant; a gateway before 2026.8.1 tells only of the default agent's. */
  readonly agent: string;
  /** Whether the default agent's turns run on this slot. */
  readonly inMainStore: boolean;
}

/** `proved`: the gateway itself reports the login. `reread`: it took the request; `why` says what is missing. */
export type Reread = { readonly kind: 'proved' } | { readonly kind: 'reread'; readonly why: string };

/**
 * How a gateway is made to read its logins again, best first. What `models.authRefresh` (9.5) does is what OpenClaw's own
 * `models auth login` asks for; `models.authStatus {refresh: true}` reads again from 6.1 on (5.28 answers from its old
 * copy); `secrets.reload` did on every release that was run, but fails whole when any secret cannot be resolved.
 */
type Way = 'models.authRefresh' | 'models.authStatus' | 'secrets.reload';

const HAS_AUTH_REFRESH = '2026.9.5';
export const STATUS_REREADS = '2026.6.1';
const STATUS_TAKES_AGENT = '2026.8.1';
export const NO_STATUS = 'this release has no way to ask a gateway which login it has';

function waysOf({ version, methods }: Hello): readonly Way[] {
  const from = (bound: string) => version !== null && compareVersions(version, bound) >= 0;
  const serves = (method: string, since: string) => (methods.size > 0 ? methods.has(method) : from(since));
  return [
    ...(serves('models.authRefresh', HAS_AUTH_REFRESH) ? (['models.authRefresh'] as const) : []),
    ...(serves('models.authStatus', STATUS_REREADS) && from(STATUS_REREADS)
      ? (['models.authStatus'] as const)
      : []),
    'secrets.reload',
  ];
}

/**
 * Makes the gateway at the other end read its logins again and asks which one it now has. Another way is tried when one is
 * refused (`models.authRefresh` is served 30 times a minute) or changed nothing.
 * @param at how the gateway is called in sentences.
 * @throws GatewayFailure `no-scope`, `reload-failed` when no way was taken; `other-login` when it keeps reporting another one;
 *   `timeout`, `closed`, `unknown` when the exchange ended before any way was taken.
 */
export async function reread(link: Link, wanted: Wanted, signal: AbortSignal, at: string): Promise<Reread> {
  let refused: GatewayFailure | null = null;
  let taken: Reread | null = null;
  let other = false;
  for (const way of waysOf(link.hello)) {
    try {
      const asked = await ask(link, way, wanted);
      if (!asked.answer.ok) {
        refused ??= new GatewayFailure(reasonOf(asked.answer));
        continue;
      }
      taken = { kind: 'reread', why: 'the gateway did not say which login it has' };
      const reported = await report(link, way, asked, wanted);
      if (typeof reported === 'object' && reported !== null) return reported;
      if (reported === wanted.expiresAt) return { kind: 'proved' };
      other = reported !== 'silent';
    } catch (error) {
      if (!(error instanceof GatewayFailure) || taken === null) throw error;
      if (other) break;
      const what = signal.aborted ? 'did not say in time' : 'hung up before it said';
      return { kind: 'reread', why: `${at} ${what} which login it has` };
    }
  }
  if (other) throw new GatewayFailure('other-login');
  if (taken !== null) return taken;
  throw refused ?? new GatewayFailure('reload-failed');
}

/** `meant`: it is about the agent that was asked for, not the default agent in its place. */
type AgentAnswer = { readonly answer: Answer; readonly meant: boolean };

async function ask(link: Link, way: Way, wanted: Wanted): Promise<AgentAnswer> {
  switch (way) {
    case 'models.authRefresh':
      return await withAgent(link, way, { operation: 'update' }, wanted.agent);
    case 'models.authStatus':
      return await withAgent(link, way, { refresh: true }, wanted.agent);
    case 'secrets.reload':
      return { answer: await link.call(way, {}), meant: true };
  }
}

/** What the gateway now reports of the slot, or why that cannot be asked. */
async function report(link: Link, way: Way, asked: AgentAnswer, wanted: Wanted): Promise<Reported | Reread> {
  if (wanted.expiresAt === null) return { kind: 'reread', why: 'an empty slot has nothing to report' };
  if (!wanted.inMainStore && !takesAgent(link)) {
    return { kind: 'reread', why: "a gateway reports only the logins of the main agent's store" };
  }
  const { methods } = link.hello;
  if (methods.size > 0 && !methods.has('models.authStatus')) return { kind: 'reread', why: NO_STATUS };
  // After models.authRefresh what it has prepared is new. Otherwise an answer without `refresh` may be a minute old.
  const params = way === 'models.authRefresh' ? {} : { refresh: true };
  const { answer, meant } =
    way === 'models.authStatus' ? asked : await withAgent(link, 'models.authStatus', params, wanted.agent);
  if (!answer.ok) return 'silent';
  const reported = parseReported(answer.payload, wanted);
  const tells = meant || (wanted.inMainStore && reported === wanted.expiresAt);
  return tells
    ? reported
    : { kind: 'reread', why: `the gateway knows no agent ${wanted.agent} to ask about` };
}

/** With the agent where that is understood; the default agent where this one is not in the gateway's config. */
export async function withAgent(
  link: Link,
  method: string,
  params: object,
  agent: string,
): Promise<AgentAnswer> {
  if (!takesAgent(link)) return { answer: await link.call(method, params), meant: true };
  const answer = await link.call(method, { ...params, agentId: agent });
  const unknown = !answer.ok && answer.refusal.detailCode === 'UNKNOWN_AGENT_ID';
  return unknown ? { answer: await link.call(method, params), meant: false } : { answer, meant: true };
}

export function takesAgent({ hello }: Link): boolean {
  return hello.version !== null && compareVersions(hello.version, STATUS_TAKES_AGENT) >= 0;
}

function reasonOf(answer: Extract<Answer, { ok: false }>): FailureReason {
  return answer.refusal.message.startsWith('missing scope') ? 'no-scope' : 'reload-failed';
}
