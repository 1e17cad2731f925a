import { type LookupAddress, type LookupOptions, lookup } from 'node:dns';
import type { Agent } from 'node:https';
import type { Env } from '../os/folders.js';

/** How a host is reached: `direct`, through `proxy`, or not at all because the variable names none that can be used. */
export type Way =
  | { readonly kind: 'direct' }
  | { readonly kind: 'proxy'; readonly proxy: URL }
  | { readonly kind: 'unusable'; readonly why: string };

/**
 * What `https_proxy`, `HTTPS_PROXY`, `no_proxy` and `NO_PROXY` say of an https host, as curl reads them: the lower-case name
 * wins, an address without a scheme is an http proxy, an empty variable is none.
 *
 * NO_PROXY is a list by commas or blanks: `*`, a name (with or without a leading dot or `*.`; its subdomains count), each
 * with an optional port. Addresses and CIDR ranges in it are of no effect: codex-router asks for no host by its address.
 * ALL_PROXY and SOCKS are not supported. `why` and every sentence made of a proxy hold no user name and no password.
 */
export function wayTo(host: string, env: Env): Way {
  const name = env.https_proxy ? 'https_proxy' : 'HTTPS_PROXY';
  const text = (env[name] ?? '').trim();
  if (text === '' || isExempt(host, env.no_proxy || env.NO_PROXY || '')) return { kind: 'direct' };
  const url = text.includes('://') ? text : `http://${text}`;
  const proxy = URL.canParse(url) ? new URL(url) : null;
  if (proxy === null || proxy.hostname === '') {
    return { kind: 'unusable', why: `${name} is not the address of a proxy` };
  }
  if (proxy.protocol !== 'http:' && proxy.protocol !== 'https:') {
    return { kind: 'unusable', why: `${name} names a proxy of another kind than http and https` };
  }
  if (!isDecodable(proxy.username) || !isDecodable(proxy.password)) {
    return { kind: 'unusable', why: `${name} holds a user name or password with a stray %` };
  }
  return { kind: 'proxy', proxy };
}

/**
 * An agent whose connections go through `proxy` by CONNECT, TLS to the host inside. An answer other than 200 is an error, never
 * taken for the host's.
 * @param signal closes a connection that is only half made.
 */
export async function tunnel(proxy: URL, signal: AbortSignal): Promise<Agent> {
  const { HttpsProxyAgent } = await import('hpagent');
  const proxyRequestOptions = {
    rejectUnauthorized: true,
    signal,
    // A URL keeps the brackets of an IPv6 address, and hpagent hands them on.
    lookup: (name: string, ...rest: LookupRest) => lookup(name.replace(/^\[|\]$/g, ''), ...rest),
  };
  return new HttpsProxyAgent({ proxy, proxyRequestOptions });
}

type LookupRest = [
  LookupOptions,
  (error: Error | null, address: string | LookupAddress[], family: number) => void,
];

function isExempt(host: string, list: string): boolean {
  return list
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .some((entry) => {
      const [, name = '', port = '443'] = /^(?:\*?\.)?(.*?)(?::(\d+))?$/.exec(entry) ?? [];
      if (port !== '443') return false;
      return name === '*' || host === name || (name !== '' && host.endsWith(`.${name}`));
    });
}

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}
