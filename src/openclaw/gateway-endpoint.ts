import type { Env } from '../os/folders.js';
import { type GatewayConfig, gatewayPort } from './gateway-config.js';
import type { FailureReason } from './gateway-failure.js';
import type { RunningGateway } from './gateway-lock.js';
import type { CredentialScope } from './gateway-secret.js';
import { filled } from './text.js';

/** Where the gateway is, and whether codex-router may speak to it. */
export interface Endpoint {
  /** The loopback address to knock at; null when it is not on loopback, where nothing is ever sent. */
  readonly door: { readonly host: string; readonly port: number } | null;
  /** The WebSocket address, always loopback; null when `obstacle` says why not. */
  readonly url: string | null;
  readonly obstacle: FailureReason | null;
  readonly scope: CredentialScope;
  /** False when a gateway could run and still not listen on loopback: then a refused connection proves nothing. */
  readonly refusalMeansNone: boolean;
}

/** Binds under which a gateway can listen on one network address only (5.7: `resolveGatewayBindHost`). */
const NETWORK_BINDS = new Set(['tailnet', 'custom']);

/**
 * As OpenClaw's client finds its gateway (3.28 and 5.7: `buildGatewayConnectionDetails`): OPENCLAW_GATEWAY_URL, else in remote
 * mode `gateway.remote.url`, else 127.0.0.1. Whatever is not plain `ws:` on loopback is an obstacle and is never contacted.
 */
export function findEndpoint(config: GatewayConfig, env: Env): Endpoint {
  const envUrl = filled(env.OPENCLAW_GATEWAY_URL);
  if (envUrl !== null) return fromUrl(envUrl, 'url');
  if (config.mode === 'remote' && config.remoteUrl !== null) return fromUrl(config.remoteUrl, 'remote');
  const door = { host: '127.0.0.1', port: gatewayPort(config, env) };
  return {
    door,
    url: config.tls ? null : `ws://${door.host}:${door.port}`,
    obstacle: config.tls ? 'tls' : null,
    scope: 'local',
    refusalMeansNone: !NETWORK_BINDS.has(config.bind ?? ''),
  };
}

/**
 * The same gateway at the port its own lock names, or null: only for the local one, and only on the word of a lock that lies in
 * the state directory, for its token is sent there.
 */
export function atPort(endpoint: Endpoint, { port, trusted }: RunningGateway): Endpoint | null {
  const { door, url, scope } = endpoint;
  if (scope !== 'local' || door === null || port === null || !trusted || port === door.port) return null;
  return { ...endpoint, door: { ...door, port }, url: url === null ? null : `ws://${door.host}:${port}` };
}

function fromUrl(text: string, scope: CredentialScope): Endpoint {
  const elsewhere: Endpoint = {
    door: null,
    url: null,
    obstacle: 'not-loopback',
    scope,
    refusalMeansNone: false,
  };
  if (!URL.canParse(text)) return elsewhere;
  const url = new URL(text);
  const host = loopbackHost(url.hostname);
  if (host === null) return elsewhere;
  const secure = url.protocol === 'wss:' || url.protocol === 'https:';
  const port = url.port === '' ? (secure ? 443 : 80) : Number(url.port);
  const door = { host: host.replace(/^\[|\]$/g, ''), port };
  if (secure) return { door, url: null, obstacle: 'tls', scope, refusalMeansNone: false };
  if (url.protocol !== 'ws:' && url.protocol !== 'http:') return elsewhere;
  return {
    door,
    url: `ws://${host}:${port}${url.pathname}${url.search}`,
    obstacle: null,
    scope,
    refusalMeansNone: false,
  };
}

/** A literal loopback address, or null: a name other than `localhost` could be made to lead anywhere. */
function loopbackHost(hostname: string): string | null {
  if (hostname === 'localhost' || hostname === 'localhost.') return '127.0.0.1';
  if (hostname === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(hostname)) return hostname;
  return null;
}
