import { systemErrorCode } from '../errors.js';

/**
 * A failed request in our own words: a library's error may quote what was sent, and got's holds the whole request.
 * @param peer whom we were talking to: the proxy, until the connection through it stands.
 * @param host whom we wanted to talk to.
 */
export function failureOf(error: unknown, peer: string, host: string): string {
  const status = error instanceof Error ? REFUSED_BY_PROXY.exec(error.message)?.[1] : undefined;
  if (status === '407') return `${peer} answered 407: it wants another user name and password`;
  if (status !== undefined) return `${peer} answered ${status}`;
  const code = systemErrorCode(error) ?? '';
  if (CERTIFICATE.test(code)) {
    const shown = peer === host ? host : `${host} through ${peer}`;
    const way = UNKNOWN_CA.test(code) ? ', a CA of your own goes into NODE_EXTRA_CA_CERTS' : '';
    return `the certificate shown for ${shown} is not trusted (${code})${way}`;
  }
  return WORDS[code]
    ? `${peer} ${WORDS[code]}`
    : `the connection to ${peer} broke${SHOWN.test(code) ? ` (${code})` : ''}`;
}

/** hpagent's only word about an answer to CONNECT other than 200. */
const REFUSED_BY_PROXY = /^Bad response: (\d{3})$/;

/** OpenSSL's and Node's names for what is wrong with a certificate. */
const CERTIFICATE = /CERT|SIGNATURE|SELF_SIGNED/;
const UNKNOWN_CA = /^(UNABLE_TO_|SELF_SIGNED_CERT_IN_CHAIN)/;

/** Of the system, of TLS, of Node's HTTP parser, of zlib. */
const SHOWN = /^(E(?!RR_GOT)|HPE_|Z_)[A-Z_]{2,50}$/;

const WORDS: { readonly [code: string]: string } = {
  ENOTFOUND: 'is not found',
  EAI_AGAIN: 'cannot be looked up now',
  ECONNREFUSED: 'takes no connections',
  EHOSTUNREACH: 'cannot be reached',
  ENETUNREACH: 'cannot be reached',
};
