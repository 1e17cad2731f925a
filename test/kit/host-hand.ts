import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { bare } from './process.js';
import type { Owner } from './router.js';

type Fields = Record<string, unknown>;

/** An installed release that writes into its own stores, as its gateway would beside codex-router. */
export interface HostHand {
  /** @param entry null takes it out. @param agentDir null: the store all agents share. */
  put(agentDir: string | null, profileId: string, entry: Fields | null): Promise<void>;
  order(
    agentDir: string | null,
    provider: string,
    order: readonly string[],
    lastGood: string | null,
  ): Promise<void>;
  /** What that store holds, as the release has it in memory. */
  store(agentDir: string | null): Promise<{ readonly profiles: Record<string, Fields> } & Fields>;
  /** Makes a session's entry. */
  makeSession(agent: string, key: string, entry: Fields): Promise<void>;
  /** Null when there is none. */
  session(agent: string, key: string): Promise<Fields | null>;
}

const HAND = fileURLToPath(new URL('./host-hand.mjs', import.meta.url));

/** Starts it; it ends with the test. @param env the whole environment, OPENCLAW_STATE_DIR included. */
export function hostHand(
  t: Owner,
  { node, root, env }: { node: string; root: string; env: Readonly<Record<string, string>> },
): HostHand {
  const [file = '', ...args] = bare([node, HAND, root], env);
  const child = spawn(file, args, { stdio: ['pipe', 'ignore', 'ignore', 'pipe'] });
  const closed = once(child, 'close');
  const [stdin, , , answers] = child.stdio;
  if (!(stdin instanceof Writable) || !(answers instanceof Readable)) throw new Error('no pipes');
  t.teardown(async () => {
    stdin.end();
    const patience = setTimeout(() => child.kill('SIGKILL'), 10_000);
    await closed;
    clearTimeout(patience);
  });
  const lines = createInterface({ input: answers })[Symbol.asyncIterator]();
  let last: Promise<unknown> = Promise.resolve();
  const ask = (task: Fields): Promise<unknown> => {
    const answered = last.then(async () => {
      stdin.write(`${JSON.stringify(task)}\n`);
      const { value: line, done } = await lines.next();
      if (done) throw new Error(`the host's hand ended (${child.exitCode ?? child.signalCode})`);
      const { value, error } = JSON.parse(line);
      if (error) throw new Error(`${task.do}: ${error}`);
      return value;
    });
    last = answered.catch(() => undefined);
    return answered;
  };
  return {
    put: async (agentDir, profileId, entry) => void (await ask({ do: 'put', agentDir, profileId, entry })),
    order: async (agentDir, provider, order, lastGood) =>
      void (await ask({ do: 'order', agentDir, provider, order, lastGood })),
    store: async (agentDir) =>
      (await ask({ do: 'store', agentDir })) as Awaited<ReturnType<HostHand['store']>>,
    makeSession: async (agent, key, entry) => void (await ask({ do: 'session', agent, key, entry })),
    session: async (agent, key) => (await ask({ do: 'session', agent, key })) as Fields | null,
  };
}
