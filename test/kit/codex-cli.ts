import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Issuer } from './issuer.js';
import { bare, outputOf, type ProcessRun, runProcess } from './process.js';
import { real, type Tester } from './real.js';
import type { Sandbox } from './router.js';
import type { Person } from './tokens.js';

/** The real Codex CLI 0.169.0 on a throw-away CODEX_HOME; it never talks to anything but the issuer. */
export interface CodexCli {
  /** Its CODEX_HOME: the sandbox's. */
  readonly home: string;
  /** `codex login --device-auth`, approved by this person. @throws when the CLI did not log in. */
  login(person: Person): Promise<void>;
  /** auth.json as it is now; null when there is none. */
  // biome-ignore lint/suspicious/noExplicitAny: a test reads the fields it expects, and fails when they are not there
  auth(): any;
  /**
   * app-server requests in one session, answered in turn; an error answer is thrown. A function is called in its turn while Codex runs, and may
   * ask for itself.
   */
  // biome-ignore lint/suspicious/noExplicitAny: as above
  rpc(...calls: readonly Call[]): Promise<any[]>;
  /** `codex exec` with one prompt, answered by the issuer's model. */
  exec(prompt: string): Promise<ProcessRun>;
  run(args: readonly string[]): Promise<ProcessRun>;
}

export interface CodexOptions {
  /** `cli_auth_credentials_store`; default `file`. */
  readonly store?: 'file' | 'keyring' | 'auto';
  /** `[features] secret_auth_storage`: its login lies age-encrypted where the store is the keyring. */
  readonly encrypted?: boolean;
  /** Beside its own: how it reaches a keyring. */
  readonly env?: Readonly<Record<string, string>>;
}

type Call = readonly [method: string, params?: object] | ((ask: Ask) => Promise<unknown>);

/** One request of the app-server; an error is an answer. */
// biome-ignore lint/suspicious/noExplicitAny: as above
type Ask = (method: string, params?: object) => Promise<{ readonly result?: any; readonly error?: any }>;

/** The CLI set up against `issuer` in the sandbox's CODEX_HOME, or null when it is not installed (see `real`). */
export function codexCli(
  t: Tester,
  box: Sandbox,
  issuer: Issuer,
  options: CodexOptions = {},
): CodexCli | null {
  const binary = real(t, 'codex-0.169.0')?.['codex-0.169.0'];
  if (binary === undefined) return null;
  const work = path.join(box.root, 'codex-work');
  mkdirSync(path.join(work, 'tmp'), { recursive: true });
  writeFileSync(path.join(box.codexHome, 'config.toml'), configFor(issuer, options), { mode: 0o600 });
  const env = {
    PATH: '/usr/bin:/bin',
    HOME: box.home,
    TMPDIR: path.join(work, 'tmp'),
    TERM: 'dumb',
    CODEX_HOME: box.codexHome,
    // Without these a revoke goes to the real issuer, even for a token of ours (facts: codex.md section 3.3).
    CODEX_REFRESH_TOKEN_URL_OVERRIDE: `${issuer.url}/oauth/token`,
    CODEX_REVOKE_TOKEN_URL_OVERRIDE: `${issuer.url}/oauth/revoke`,
    CODEX_APP_SERVER_LOGIN_ISSUER: issuer.url,
    CODEX_AUTHAPI_BASE_URL: `${issuer.url}/api/accounts`,
    ...options.env,
  };
  const run = (args: readonly string[]) => runProcess([binary, ...args], { env, cwd: work });
  const authFile = path.join(box.codexHome, 'auth.json');
  return {
    home: box.codexHome,
    run,
    auth: () => (existsSync(authFile) ? JSON.parse(readFileSync(authFile, 'utf8')) : null),
    exec: (prompt) => run(['exec', '--skip-git-repo-check', prompt]),
    login: async (person) => {
      issuer.approveAs(person);
      const login = await run(['login', '--device-auth', '--experimental_issuer', issuer.url]);
      if (login.code !== 0) throw new Error(`codex login failed\n${outputOf(login)}`);
    },
    rpc: (...calls) => callAppServer([binary, 'app-server'], env, work, calls),
  };
}

function configFor(issuer: Issuer, { store = 'file', encrypted = false }: CodexOptions): string {
  return `cli_auth_credentials_store = "${store}"
chatgpt_base_url = "${issuer.url}/backend-api/"
check_for_update_on_startup = false
model = "gpt-5.5"
model_provider = "stand-in"
[analytics]
enabled = false
[features]
secret_auth_storage = ${encrypted}
plugins = false
apps = false
[model_providers.stand-in]
name = "stand-in"
base_url = "${issuer.url}/backend-api/codex"
wire_api = "responses"
requires_openai_auth = true
supports_websockets = false
request_max_retries = 0
stream_max_retries = 0
`;
}

async function callAppServer(
  command: readonly string[],
  env: Readonly<Record<string, string>>,
  cwd: string,
  calls: readonly Call[],
): Promise<unknown[]> {
  const [file = '', ...args] = bare(command, env);
  const child = spawn(file, args, { cwd, stdio: ['pipe', 'pipe', 'ignore'] });
  const ended = new Promise((resolve) => child.on('close', resolve));
  const deadline = setTimeout(() => child.kill('SIGKILL'), 60_000);
  const waiting = new Map<number, (message: Record<string, unknown>) => void>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    const message = JSON.parse(line);
    waiting.get(message.id)?.(message);
  });
  let serial = 0;
  const call = (method: string, params: object = {}) => {
    serial += 1;
    const id = serial;
    child.stdin.write(`${JSON.stringify({ id, method, params })}\n`);
    return Promise.race([
      new Promise<Record<string, unknown>>((resolve) => waiting.set(id, resolve)),
      ended.then(() => ({ error: 'the app server ended' })),
    ]);
  };
  try {
    await call('initialize', {
      clientInfo: { name: 'codex-router-tests', title: 'tests', version: '0' },
      capabilities: { experimentalApi: true },
    });
    child.stdin.write(`${JSON.stringify({ method: 'initialized' })}\n`);
    const results: unknown[] = [];
    for (const each of calls) {
      if (typeof each === 'function') {
        results.push(await each(call));
        continue;
      }
      const [method, params] = each;
      const answer = (await call(method, params)) as { result?: unknown; error?: unknown };
      if (answer.error !== undefined) throw new Error(`${method}: ${JSON.stringify(answer.error)}`);
      results.push(answer.result);
    }
    return results;
  } finally {
    child.stdin.end();
    const patience = setTimeout(() => child.kill('SIGKILL'), 5_000);
    await ended;
    clearTimeout(patience);
    clearTimeout(deadline);
  }
}
