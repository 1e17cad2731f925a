import { relative } from 'node:path';
import { lstat } from '../os/files.js';
import type { FoundHost, FoundStore, Host } from '../slot/host.js';
import type { SessionEntry } from '../slot/pins.js';
import type { Slot } from '../slot/slot.js';
import type { BundleDeps } from './bundle.js';
import {
  ageWord,
  channelWord,
  codeWord,
  errorWord,
  hostPathWord,
  modeWord,
  NOTE_CODES,
  oneOf,
  type Pseudonyms,
  sessionWord,
  sourceWord,
  versionWord,
  type Word,
} from './bundle-words.js';

const LAYOUTS = ['json', 'json+state', 'sqlite-agent', 'sqlite-shared'];

/** What of OpenClaw is here, or why that could not be told. */
export async function bundledHost({ found, host, now }: BundleDeps, names: Pseudonyms) {
  if ('error' in found) return { error: errorWord(found.error), found: null, slots: [], sessions: [] };
  const error = 'error' in host ? errorWord(host.error) : null;
  const there = 'seen' in host ? host.seen : null;
  return {
    error,
    found: await bundledFound(found.seen, names),
    slots: there === null ? [] : await bundledSlots(there, names, now),
    sessions: there === null ? [] : await bundledSessions(there, found.seen.profileId, names),
  };
}

async function bundledFound(found: FoundHost, names: Pseudonyms) {
  const { stateDir, release, refusal } = found;
  return {
    layout: oneOf(LAYOUTS, found.layout),
    release: versionWord(release?.version),
    releaseFrom: release === null ? null : sourceWord(release.source),
    provider: oneOf(['openai', 'openai-codex'], found.provider),
    slotIsDefault: ['openai:default', 'openai-codex:default'].includes(found.profileId ?? ''),
    way: oneOf(['direct', 'sdk'], found.via),
    refused: refusal === null ? null : codeWord(refusal.code, NOTE_CODES),
    reasons: found.reasons.map(({ code }) => codeWord(code, NOTE_CODES)),
    notes: found.notes.map(({ code }) => codeWord(code, NOTE_CODES)),
    gatewayRuns: found.gateway !== null,
    agents: found.agents.map(({ id, isDefault, runsOn, trouble }) => ({
      agent: names.agent(id),
      isDefault,
      runsOn: oneOf(['own', 'main', 'copy', 'unknown'], runsOn),
      isReadable: trouble === null,
    })),
    stores: await Promise.all(found.stores.map((store) => bundledStore(store, stateDir, names))),
    locks: found.locks.map(({ kind, path }) => ({
      kind: oneOf(['file', 'transaction'], kind),
      path: hostPathWord(relative(stateDir, path), names),
    })),
  };
}

async function bundledStore(store: FoundStore, stateDir: string, names: Pseudonyms) {
  const { path, format, holds, schema, state, profiles } = store;
  const about = await lstat(path).catch(() => null);
  return {
    path: hostPathWord(relative(stateDir, path), names),
    format: oneOf(['json', 'sqlite'], format),
    holds: oneOf(['logins', 'selection', 'sessions'], holds),
    schema,
    state: oneOf(['used', 'empty', 'leftover', 'unreadable', 'unknown'], state),
    profiles: profiles.length,
    mode: about === null ? null : modeWord(about.mode),
    bytes: about?.size ?? null,
  };
}

const OCCUPANTS = ['absent', 'login', 'refreshing', 'lost', 'foreign'];

async function bundledSlots(host: Host, names: Pseudonyms, now: number) {
  const slots = await host.allSlots().catch((): readonly Slot[] => []);
  return Promise.all(
    slots.map(async (slot) => {
      const { agent, profileId } = slot.address;
      const base = { agent: names.agent(agent) };
      try {
        const { occupant, neighbours, selectable, order } = await slot.read();
        const login = occupant.kind === 'login' ? occupant : null;
        return {
          ...base,
          error: null,
          holds: oneOf(OCCUPANTS, occupant.kind),
          identity: names.identity(login?.identity ?? null),
          expires: login === null ? null : ageWord(login.grant.expiresAt, now),
          selectable,
          order: order?.map((id) => names.profile(id, profileId)) ?? null,
          neighbours: neighbours.map(({ kind, profileId: id }) => ({
            profile: names.profile(id, profileId),
            holds: oneOf(OCCUPANTS, kind),
          })),
        };
      } catch (error) {
        const nothing = { holds: null, identity: null, expires: null, selectable: null, order: null };
        return { ...base, error: errorWord(error), ...nothing, neighbours: [] };
      }
    }),
  );
}

/** How many conversations of each sort there are, and what they are pinned to. */
async function bundledSessions(host: Host, slot: string | null, names: Pseudonyms) {
  return Promise.all(
    host.agents.map(async (id) => {
      const agent = names.agent(id);
      try {
        return { agent, error: null, kinds: counted(await host.pinsOf(id).read(), slot) };
      } catch (error) {
        return { agent, error: errorWord(error), kinds: [] };
      }
    }),
  );
}

function counted(entries: readonly SessionEntry[], slot: string | null) {
  const groups = new Map<string, { kind: Word; channel: Word; pinned: Word; count: number }>();
  for (const entry of entries) {
    const { pinnedTo } = entry;
    const pinned = pinnedTo === null ? 'none' : pinnedTo === slot ? 'slot' : 'elsewhere';
    const group = {
      kind: sessionWord(entry),
      channel: channelWord(entry),
      pinned: oneOf(['none', 'slot', 'elsewhere'], pinned),
    };
    const key = JSON.stringify(group);
    groups.set(key, { ...group, count: (groups.get(key)?.count ?? 0) + 1 });
  }
  return [...groups.values()];
}
