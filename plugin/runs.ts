import { type Host, memberOf, textOf } from './host.js';

/** The agent's runs in this gateway, as far as the release tells a plugin of them. */
export interface Runs {
  /** Sessions, by id, that had a run within the last hour and have none now. 2026.3.28 tells of none. */
  idle(now: number): readonly string[];
  running(): readonly string[];
  /** Whether a turn runs in the session of that key; null where the release does not tell when one begins. */
  isRunningIn(key: string): boolean | null;
  /** Calls with what is known of a run that has ended. */
  onEnd(listener: (session: { readonly key: string | null; readonly id: string | null }) => void): void;
}

/** The longest that OpenClaw keeps a connection of a session (2026.9.6: 55 minutes). */
const KEPT_MS = 60 * 60 * 1000;
const MOST = 1000;

export function runsOf(host: Host, now: () => number): Runs {
  const ofRun = new Map<string, string>();
  const keyOfRun = new Map<string, string>();
  const endedAt = new Map<string, number>();
  const listeners: Parameters<Runs['onEnd']>[0][] = [];
  const ended = (key: unknown, run: unknown) => {
    keyOfRun.delete(textOf(run) ?? '');
    const id = ofRun.get(textOf(run) ?? '') ?? null;
    if (id !== null) {
      ofRun.delete(textOf(run) ?? '');
      endedAt.delete(id);
      endedAt.set(id, now());
    }
    for (const listener of listeners) listener({ key: textOf(key), id });
  };
  if (host.registerAgentEventSubscription === null) {
    host.on?.('agent_end', (_event: unknown, context: unknown) =>
      ended(memberOf(context, 'sessionKey'), null),
    );
  } else {
    host.registerAgentEventSubscription({
      id: 'codex-router-runs',
      description: 'notes when a run begins and ends, for what a switch of the login leaves to be done',
      streams: ['lifecycle'],
      handle: (event: unknown) => {
        const phase = memberOf(event, 'data', 'phase');
        const [run, id] = [textOf(memberOf(event, 'runId')), textOf(memberOf(event, 'sessionId'))];
        if (phase === 'start' && run !== null && id !== null) keep(ofRun, run, id);
        const key = textOf(memberOf(event, 'sessionKey'));
        if (phase === 'start' && run !== null && key !== null) keep(keyOfRun, run, key.toLowerCase());
        if (phase === 'end' || phase === 'error') ended(memberOf(event, 'sessionKey'), run);
        trim(endedAt);
      },
    });
  }
  const running = () => [...new Set(ofRun.values())];
  return {
    idle: (at) =>
      [...endedAt].flatMap(([id, end]) => (at - end < KEPT_MS && !running().includes(id) ? [id] : [])),
    running,
    isRunningIn: (key) =>
      host.registerAgentEventSubscription === null
        ? null
        : [...keyOfRun.values()].includes(key.toLowerCase()),
    onEnd: (listener) => listeners.push(listener),
  };
}

function keep<V>(map: Map<string, V>, key: string, value: V): void {
  map.set(key, value);
  trim(map);
}

function trim<V>(map: Map<string, V>): void {
  for (const [oldest] of map) {
    if (map.size <= MOST) break;
    map.delete(oldest);
  }
}
