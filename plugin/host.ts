/** A function of the host's; what it takes and gives is looked at where it is called. */
export type Call = (...args: readonly unknown[]) => unknown;

/** What a program that the host ran for us gave back. */
export interface RunEnd {
  /** Null when a signal ended it, or the host's own deadline. */
  readonly code: number | null;
  readonly stdout: string;
  readonly timedOut: boolean;
}

/**
 * What we use of the object that OpenClaw hands to a plugin's `register`. Every release from 2026.3.28 on has
 * `registerCommand` and `runtime.system.runCommandWithTimeout`; the rest is null where it is missing.
 */
export interface Host {
  readonly registerCommand: Call;
  readonly registerInteractiveHandler: Call | null;
  /** From 2026.4.24 on, or a little later. */
  readonly registerAgentEventSubscription: Call | null;
  /** `api.on`, the typed hooks. */
  readonly on: Call | null;
  /** `plugins.entries.codex-router.config` of openclaw.json. */
  readonly pluginConfig: unknown;
  readonly warn: (message: string) => void;
  /** The runtime is looked up at each call: before the gateway runs, touching it loads half of the host. */
  readonly runtime: (...path: readonly string[]) => unknown;
}

/** @throws Error when it is not OpenClaw's plugin API. */
export function parseHost(api: unknown): Host {
  const method = (name: string): Call | null => bound(api, name);
  const registerCommand = method('registerCommand');
  if (registerCommand === null)
    throw new Error('this OpenClaw has no plugin commands: codex-router needs 2026.3.28 or later');
  const logger = memberOf(api, 'logger');
  return {
    registerCommand,
    registerInteractiveHandler: method('registerInteractiveHandler'),
    registerAgentEventSubscription: method('registerAgentEventSubscription'),
    on: method('on'),
    pluginConfig: memberOf(api, 'pluginConfig'),
    warn: (message) => void bound(logger, 'warn')?.(`codex-router: ${message}`),
    runtime: (...path) => memberOf(api, 'runtime', ...path),
  };
}

/** The member at the end of the path, undefined when there is none on the way. */
export function memberOf(value: unknown, ...path: readonly string[]): unknown {
  let at = value;
  for (const name of path) {
    if ((typeof at !== 'object' || at === null) && typeof at !== 'function') return undefined;
    at = Reflect.get(at, name);
  }
  return at;
}

/** A method with its `this`; null when it is none. */
export function bound(owner: unknown, name: string): Call | null {
  const found = parseCall(memberOf(owner, name));
  return found === null ? null : (...args) => Reflect.apply(found, owner, args);
}

function parseCall(value: unknown): Call | null {
  return typeof value === 'function' ? (value as Call) : null;
}

export function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
