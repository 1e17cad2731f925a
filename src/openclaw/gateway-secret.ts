import type { Env } from '../os/folders.js';
import { Secret } from '../secret.js';
import type { GatewayConfig, SecretInput } from './gateway-config.js';
import { filled } from './text.js';

/** What one `connect` carries; neither only where the gateway is configured to ask for nothing. */
export interface GatewayCredential {
  readonly token: Secret | null;
  readonly password: Secret | null;
}

export type Credentials =
  /** In the order to try; the second only after the gateway refused the first. */
  | { readonly kind: 'found'; readonly tries: readonly GatewayCredential[] }
  /** Configured, but only OpenClaw can resolve it; `path` is its place in openclaw.json. */
  | { readonly kind: 'unreadable'; readonly path: string }
  | { readonly kind: 'none' };

/** Whose secret is asked for: the local gateway's, a tunnelled remote one's, or that of OPENCLAW_GATEWAY_URL. */
export type CredentialScope = 'local' | 'remote' | 'url';

/**
 * OpenClaw's client lets OPENCLAW_GATEWAY_TOKEN and _PASSWORD win over the config, its server lets the config win (3.28 and
 * 5.7: `resolveGatewayCredentialsFromValues`, env-first and config-first; seen on 5.7: with both set the variable's token is
 * refused). So the variable is tried first and the config second. A URL from the environment never gets the config's secrets.
 */
export function findCredentials(config: GatewayConfig, env: Env, scope: CredentialScope): Credentials {
  const { authMode } = config;
  // From 5.28 on (the first that was read) this lets a local program in; 5.7 answers DEVICE_IDENTITY_REQUIRED.
  if (authMode === 'none' && scope === 'local')
    return { kind: 'found', tries: [{ token: null, password: null }] };
  const wantsToken = authMode !== 'password' && authMode !== 'trusted-proxy' && authMode !== 'none';
  const wantsPassword = authMode !== 'token' && authMode !== 'none';
  const tokens = wantsToken || scope !== 'local' ? sources(config, env, scope, 'token') : [];
  const passwords = wantsPassword || scope !== 'local' ? sources(config, env, scope, 'password') : [];

  const token = tokens.flatMap(({ secret }) => secret ?? []);
  const password = passwords.flatMap(({ secret }) => secret ?? []);
  const unreadable = [...tokens, ...passwords].find(({ secret }) => secret === null);
  if (token.length === 0 && password.length === 0) {
    return unreadable === undefined ? { kind: 'none' } : { kind: 'unreadable', path: unreadable.path };
  }
  const tries = [{ token: token[0] ?? null, password: password[0] ?? null }];
  if (different(token) || different(password)) {
    tries.push({ token: token.at(-1) ?? null, password: password.at(-1) ?? null });
  }
  return { kind: 'found', tries };
}

interface Source {
  readonly path: string;
  /** null when it is configured and cannot be read here. */
  readonly secret: Secret | null;
}

function sources(
  config: GatewayConfig,
  env: Env,
  scope: CredentialScope,
  what: 'token' | 'password',
): Source[] {
  const variable = what === 'token' ? 'OPENCLAW_GATEWAY_TOKEN' : 'OPENCLAW_GATEWAY_PASSWORD';
  const text = filled(env[variable]);
  const fromEnv = text === null ? [] : [{ path: variable, secret: new Secret(text) }];
  if (scope === 'url') return fromEnv;
  const local = readSecret(`gateway.auth.${what}`, config[what], env);
  if (scope === 'local') return [...fromEnv, ...local];
  const input = what === 'token' ? config.remoteToken : config.remotePassword;
  const remote = readSecret(`gateway.remote.${what}`, input, env);
  return remote.length > 0 ? [...remote, ...fromEnv] : [...fromEnv, ...local];
}

function readSecret(path: string, input: SecretInput | null, env: Env): Source[] {
  if (input === null) return [];
  if (input.kind === 'ref') {
    const value = input.source === 'env' && input.id !== null ? filled(env[input.id]) : null;
    return [{ path, secret: value === null ? null : new Secret(value) }];
  }
  let missing = false;
  const text = input.text.reveal().replace(/\$\{([A-Z_][A-Z0-9_]*)\}/g, (_whole, name: string) => {
    const value = filled(env[name]);
    if (value === null) missing = true;
    return value ?? '';
  });
  return [{ path, secret: missing ? null : new Secret(text) }];
}

function different(found: readonly Secret[]): boolean {
  const [first] = found;
  const last = found.at(-1);
  return first !== undefined && last !== undefined && !first.equals(last);
}
