import type { GatewayHolds } from '../slot/host.js';
import { findGateway, nameOf, REFRESH_MARGIN, type ReloadDeps, servesStateDir, withLink } from './gateway.js';
import { hostEnv } from './gateway-config.js';
import { GatewayFailure, noteOf } from './gateway-failure.js';
import type { Link } from './gateway-link.js';
import { parseLookedAt, parseReported } from './gateway-report.js';
import { NO_STATUS, STATUS_REREADS, takesAgent, withAgent } from './gateway-reread.js';
import { compareVersions } from './release.js';

/** ms; a busy machine's gateway was seen to take 9 s for `models.authStatus` (5.7, two cores). */
const EXCHANGE = 12_000;

/**
 * What the running gateway of a state directory says it holds in a slot. It is not made to read or renew anything: through 5.28
 * `models.authStatus {refresh: true}` tells of the copy in memory; from 6.1 on that would make it read again, so it is asked without, and
 * may answer with what it saw up to a minute ago. A login near its expiry is not asked about, because 5.7 renews it for the answer.
 * Never throws for what a gateway does.
 */
export async function heldByGateway(
  deps: ReloadDeps & { readonly expiresAt: number },
): Promise<GatewayHolds> {
  const { config } = deps;
  const env = await hostEnv(deps.stateDir, deps.env);
  if (config === null) return unknown(new GatewayFailure('config-unreadable'), 'this machine');
  const { endpoint, absence } = await findGateway(deps, config, env);
  const at = nameOf(endpoint);
  if (absence === 'none') return { kind: 'no-gateway' };
  if (absence !== null) return unknown(absence, at);
  if (deps.expiresAt - deps.now() <= REFRESH_MARGIN) {
    return {
      kind: 'unknown',
      why: 'the login is near its expiry, and asking could make the gateway renew it',
    };
  }
  try {
    const exchange = deps.limits?.exchange ?? EXCHANGE;
    return await withLink(deps, config, env, endpoint, exchange, async (link) => {
      if ((await servesStateDir(link, deps.stateDir)) === false) throw new GatewayFailure('other-state');
      return await ask(link, deps);
    });
  } catch (error) {
    if (error instanceof GatewayFailure) return unknown(error, at);
    throw error;
  }
}

async function ask(link: Link, deps: ReloadDeps): Promise<GatewayHolds> {
  const { methods, version } = link.hello;
  const why = (text: string): GatewayHolds => ({ kind: 'unknown', why: text });
  if (methods.size > 0 && !methods.has('models.authStatus')) return why(NO_STATUS);
  if (!deps.inMainStore && !takesAgent(link)) {
    return why("a gateway reports only the logins of the main agent's store");
  }
  const rereads = version === null || compareVersions(version, STATUS_REREADS) >= 0;
  const params = rereads ? {} : { refresh: true };
  const { answer, meant } = await withAgent(link, 'models.authStatus', params, deps.agent);
  if (!answer.ok) return why('the gateway refused to say which login it has');
  if (!meant && !deps.inMainStore) return why(`the gateway knows no agent ${deps.agent} to ask about`);
  const reported = parseReported(answer.payload, deps);
  if (reported === 'silent') return why('the gateway did not say which login it has');
  return { kind: 'holds', expiresAt: reported, askedAt: rereads ? parseLookedAt(answer.payload) : null };
}

function unknown(failure: GatewayFailure, at: string): GatewayHolds {
  return { kind: 'unknown', why: noteOf(failure, at).text };
}
