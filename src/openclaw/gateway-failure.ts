import type { HostNote } from '../slot/host.js';

/** Why a gateway could not be told, or what it said could not be proved. Each becomes one note. */
export type FailureReason =
  | 'config-unreadable'
  | 'not-loopback'
  | 'tls'
  | 'other-port'
  | 'unknown'
  | 'timeout'
  | 'closed'
  | 'starting'
  | 'protocol'
  | 'secret-unreadable'
  | 'no-secret'
  | 'denied'
  | 'no-scope'
  | 'other-state'
  | 'reload-failed'
  | 'other-login'
  | 'command-missing'
  | 'command-failed';

/** Ends an exchange with a gateway; caught inside this folder, never seen by the router. */
export class GatewayFailure extends Error {
  readonly reason: FailureReason;
  /** A fact of ours to name (a port, a place in openclaw.json, a pid); never text the gateway sent. */
  readonly detail: string | null;

  constructor(reason: FailureReason, detail: string | null = null) {
    super(reason);
    this.name = 'GatewayFailure';
    this.reason = reason;
    this.detail = detail;
  }
}

/** The note for a failure. `at` is how the gateway is called in sentences, such as `port 18789`. */
export function noteOf(failure: GatewayFailure, at: string): HostNote {
  const [code, text] = NOTES[failure.reason];
  return { code, text: text.replaceAll('{at}', at).replaceAll('{detail}', failure.detail ?? 'unknown') };
}

const NOTES: { readonly [reason in FailureReason]: readonly [code: string, text: string] } = {
  'config-unreadable': [
    'GATEWAY_CONFIG_UNREADABLE',
    'the gateway section of openclaw.json cannot be understood, so the gateway was not told',
  ],
  'not-loopback': [
    'GATEWAY_NOT_LOOPBACK',
    "the gateway is not on this machine's loopback address; this release of codex-router sends no gateway token over a network",
  ],
  tls: ['GATEWAY_TLS', 'the gateway speaks TLS, which this release of codex-router does not'],
  'other-port': [
    'GATEWAY_OTHER_PORT',
    'a gateway of this configuration runs as process {detail} but does not listen on {at}: it is still starting, or has another port (name it in OPENCLAW_GATEWAY_PORT)',
  ],
  unknown: ['GATEWAY_UNKNOWN', 'what answers on {at} is not an OpenClaw gateway'],
  timeout: ['GATEWAY_TIMEOUT', 'the gateway on {at} did not answer in time'],
  closed: ['GATEWAY_CLOSED', 'the gateway on {at} closed the connection before it answered'],
  starting: ['GATEWAY_STARTING', 'the gateway on {at} is still starting'],
  protocol: [
    'GATEWAY_PROTOCOL',
    'the gateway on {at} speaks a protocol that this release of codex-router does not know',
  ],
  'secret-unreadable': [
    'GATEWAY_SECRET_UNREADABLE',
    '{detail} in openclaw.json refers to a secret that only OpenClaw can read',
  ],
  'no-secret': [
    'GATEWAY_NO_SECRET',
    'the gateway has no token or password that codex-router could show it, and without one it grants a program nothing',
  ],
  denied: ['GATEWAY_DENIED', 'the gateway on {at} refused the configured token or password'],
  'no-scope': ['GATEWAY_NO_SCOPE', 'the gateway on {at} does not let a local program reload its logins'],
  'other-state': ['GATEWAY_OTHER_STATE', 'the gateway on {at} does not serve this state directory'],
  'reload-failed': [
    'GATEWAY_RELOAD_FAILED',
    'the gateway on {at} could not reload its secrets and kept the old ones; its log says why',
  ],
  'other-login': [
    'GATEWAY_OTHER_LOGIN',
    'the gateway on {at} re-read its logins and still reports another one in the slot',
  ],
  'command-missing': [
    'GATEWAY_COMMAND_MISSING',
    'this release reloads only through its own command, and no openclaw command was found',
  ],
  'command-failed': ['GATEWAY_COMMAND_FAILED', 'openclaw secrets reload {detail}'],
};
