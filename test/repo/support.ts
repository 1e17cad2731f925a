import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RouterError } from '../../src/errors.js';
import type { Holding } from '../../src/holding.js';
import { parseAccountId, parseUserId } from '../../src/identity.js';
import type { RouterFolders } from '../../src/os/folders.js';
import type { Keychain } from '../../src/repo/keychain.js';
import type { RepoDeps } from '../../src/repo/opening.js';
import { Secret } from '../../src/secret.js';

export const NOON = Date.UTC(2026, 0, 1, 12);

export function newFolders(): RouterFolders {
  const home = mkdtempSync(join(tmpdir(), 'codex-router-test-'));
  return { data: join(home, 'data'), config: join(home, 'config') };
}

/** A keychain in memory that fails like a real one when told to, and never overwrites. */
export function memoryKeychain(): Keychain & {
  items: Map<string, string>;
  trouble: RouterError | null;
  calls: string[];
} {
  const items = new Map<string, string>();
  const keychain = {
    items,
    trouble: null as RouterError | null,
    calls: [] as string[],
    warm() {
      keychain.calls.push('warm');
    },
    close() {
      keychain.calls.push('close');
    },
    async get(account: string) {
      step('get');
      return items.get(account) ?? null;
    },
    async set(account: string, value: string) {
      step('set');
      if (items.has(account)) throw new Error('overwritten');
      items.set(account, value);
    },
    async delete(account: string) {
      step('delete');
      return items.delete(account);
    },
    async probe() {
      step('probe');
    },
  };
  function step(name: string): void {
    keychain.calls.push(name);
    if (keychain.trouble) throw keychain.trouble;
  }
  return keychain;
}

export const LOCKED = new RouterError('KEYCHAIN_LOCKED', 'the keychain is locked', { hint: 'unlock it' });

export function testDeps(over: Partial<RepoDeps> = {}): RepoDeps & { said: string[] } {
  const said: string[] = [];
  return {
    said,
    folders: newFolders(),
    env: {},
    keychain: memoryKeychain(),
    isTerminal: false,
    askSecret: async () => {
      throw new Error('nobody is there to ask');
    },
    say: (line) => said.push(line),
    keyFile: null,
    now: () => NOON,
    firstRun: { key: 'file', ask: async () => 'stop' },
    ...over,
  };
}

function jwt(payload: object): Secret {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return new Secret(`${part({ alg: 'RS256' })}.${part(payload)}.CANARYsignature`);
}

export function holding(account: string, user = 'user-1', login = 1): Holding {
  const accountId = parseAccountId(account);
  const userId = parseUserId(user);
  const claims = { 'https://api.openai.com/auth': { chatgpt_account_id: account, chatgpt_user_id: user } };
  return {
    identity: { accountId, userId, email: `${user}@example.com`, plan: 'team', workspace: null },
    grant: {
      accessToken: jwt({ ...claims, exp: NOON / 1000 + 3600, jti: `${login}` }),
      refreshToken: new Secret(`rt_CANARY.${account}.${user}.${login}`),
      idToken: jwt({ ...claims, email: `${user}@example.com` }),
      expiresAt: NOON + 3_600_000,
      lastRefresh: NOON - 1000,
      provenance: { issuer: 'https://auth.openai.com', clientId: 'app_test' },
    },
    hostFields: { displayName: 'Work', nested: { list: [1, null, 'x'] } },
    selection: { errorCount: 2 },
  };
}

/** A holding as plain data, tokens included, for comparison. */
export function revealed(of: Holding): object {
  const { accessToken, refreshToken, idToken, ...grant } = of.grant;
  const tokens = [accessToken.reveal(), refreshToken.reveal(), idToken?.reveal() ?? null];
  return { ...of, grant, tokens };
}
