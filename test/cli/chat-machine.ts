import type { Test } from 'tap';
import { findCanary } from '../kit/canary.js';
import { type RouterOptions, router, type Sandbox, sandbox } from '../kit/router.js';
import { makeState, type OpenClawState, type StateOptions } from '../kit/state.js';
import { codexAuthJson, type Login } from '../kit/tokens.js';
import { startUsageBackend, type UsageBackend } from '../kit/usage-backend.js';
import { morningZone } from '../kit/zone.js';

/** The chat of the tests: a direct one with the owner, who has two others. */
export const HERE = 'agent:main:telegram:direct:1001';

/** One answer: the exit status, and the document. */
export interface Said {
  readonly code: number | null;
  // biome-ignore lint/suspicious/noExplicitAny: a test reads the fields it expects, and fails when they are not there
  readonly document: any;
  readonly text: string;
}

export interface ChatBox {
  readonly box: Sandbox;
  /** Whom the limits are asked of. */
  readonly backend: UsageBackend;
  readonly state: OpenClawState;
  /** What somebody writes; `changes` are laid over a request of the owner's direct chat. */
  say(text: string, changes?: Record<string, unknown>, options?: RouterOptions): Promise<Said>;
  run(args: readonly string[], options?: RouterOptions): ReturnType<typeof router>;
}

/** An OpenClaw with chats, and the given logins stored by alias; an alias that begins with `_` is left out. */
export async function chatBox(
  t: Test,
  logins: Record<string, Login>,
  options: Partial<StateOptions> = {},
  box: Sandbox = sandbox(t),
): Promise<ChatBox> {
  const backend = await startUsageBackend(t);
  const KEY = {
    CODEX_ROUTER_KEY: 'file',
    CODEX_ROUTER_TEST_ISSUER: backend.url,
    TZ: morningZone(),
    ...box.env,
  };
  const state = makeState(box.stateDir, { release: '2026.5.7', slot: null, ...options });
  const run: ChatBox['run'] = (args, more = {}) =>
    router(box, args, { ...more, env: { ...KEY, ...more.env } });
  for (const [alias, login] of Object.entries(logins)) {
    const named = alias.startsWith('_') ? [] : ['--alias', alias];
    const stored = await run(['import', '--from', '-', ...named], { input: codexAuthJson(login) });
    if (stored.code !== 0) throw new Error(stored.stderr);
  }
  t.teardown(() => {
    const leaks = findCanary([box.routerHome, box.tmp]);
    if (leaks.length > 0) throw new Error(`tokens leaked: ${JSON.stringify(leaks)}`);
  });
  const say: ChatBox['say'] = async (text, changes = {}, more = {}) => {
    const input = JSON.stringify({ ...requestOf(text), ...changes });
    const ran = await run(['chat', '--stdin', '--json'], { ...more, input });
    const document = JSON.parse(ran.stdout);
    return { code: ran.code, document, text: document.text };
  };
  return { box, backend, state, run, say };
}

export function requestOf(text: string): Record<string, unknown> {
  return {
    schemaVersion: 1,
    text,
    session: HERE,
    sessionWhy: null,
    sender: 'telegram:default:1001',
    chat: 'telegram:default:1001',
    isDirect: true,
    showsEmails: false,
    asksBeforeMovingOthers: true,
  };
}
