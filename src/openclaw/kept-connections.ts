import { isObject, type Json, type JsonObject } from '../json.js';
import { compareVersions } from './release.js';

/**
 * After this one a gateway keeps a session's WebSocket to the model open between turns (2026.8.1, 9.1, 9.6); before, each run
 * closes its own (5.28 to 7.35 by their code, which is the same but for that). Its handshake carried the login of the moment.
 */
const LAST_THAT_CLOSES = '2026.7.35';

/** `SESSION_WEBSOCKET_CACHE_TTL_MS` of OpenClaw, and what it may take to write down that a turn has ended. */
const IDLE_MS = 5 * 60 * 1000 + 15 * 1000;

/**
 * ms after a session's last turn for which a gateway may keep the session's connection to the model; null: it keeps none.
 * @param version of the gateway; one that is not known counts as one that keeps them
 */
export function keptFor(version: string | null, config: JsonObject, provider: string): number | null {
  const keeps = version === null || compareVersions(version, LAST_THAT_CLOSES) > 0;
  return keeps && !isOverHttp(config, provider) ? IDLE_MS : null;
}

/**
 * Whether `params.transport` is `sse` wherever openclaw.json says it for this provider's models, and is said for all of them or
 * for each that is listed. OpenClaw's order: agents.defaults.params, its models', an agent's models', an agent's.
 */
export function isOverHttp(config: JsonObject, provider: string): boolean {
  const agents = objectAt(config.agents);
  const defaults = objectAt(agents.defaults);
  const listed = Array.isArray(agents.list) ? agents.list : [];
  const each = [...listed, ...Object.values(objectAt(agents.entries))].map(objectAt);
  const inGeneral = transportIn(defaults);
  const models = [defaults, ...each].flatMap((agent) => modelsOf(agent, provider)).map(transportIn);
  const said = [inGeneral, ...models, ...each.map(transportIn)].filter((value) => value !== undefined);
  if (said.length === 0 || said.some((value) => value !== 'sse')) return false;
  const shared = modelsOf(defaults, provider).map(transportIn);
  return inGeneral === 'sse' || (shared.length > 0 && shared.every((value) => value === 'sse'));
}

function modelsOf(agent: JsonObject, provider: string): JsonObject[] {
  return Object.entries(objectAt(agent.models)).flatMap(([name, model]) =>
    name.startsWith(`${provider}/`) ? [objectAt(model)] : [],
  );
}

function transportIn(owner: JsonObject): Json | undefined {
  return objectAt(owner.params).transport;
}

function objectAt(value: Json | undefined): JsonObject {
  return isObject(value) ? value : {};
}
