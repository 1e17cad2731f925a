import { readClaims } from '../claims.js';
import { RouterError } from '../errors.js';
import { stat } from '../os/files.js';
import { Secret } from '../secret.js';
import type { Slot } from '../slot/slot.js';
import type { HostTrouble } from '../slot/trouble.js';
import { type AdmissionFacts, codexAuthPath, codexTokensAt } from './admission.js';

/** ms; what 3.28 takes for the life of a login whose token does not say (`readCodexCliCredentials`). */
const UNSAID_LIFE_MS = 60 * 60 * 1000;

/**
 * Codex's own login, which the releases 3.24 to 4.15 copy over the slot of an agent at each look at its store, unless the slot's one
 * expires later; whoever is in it (seen on 3.28). The rotated login in the slot is gone then.
 */
export async function codexTroubles(
  facts: AdmissionFacts,
  slots: readonly Slot[],
): Promise<readonly HostTrouble[]> {
  const { release, traits, isDefaultSlot } = facts;
  const doubtful = release === null && !traits.stateFile;
  if (!isDefaultSlot || !(traits.codexOverwrites || doubtful)) return [];
  const path = codexAuthPath(facts.env, facts.home);
  const tokens = await codexTokensAt(path);
  if (tokens === null) return [];
  const expiresAt = readClaims(new Secret(tokens.access))?.expiresAt ?? (await unsaidExpiry(path));
  const threatened: string[] = [];
  const later: string[] = [];
  for (const slot of slots) {
    const occupant = await occupantOf(slot);
    if (occupant?.kind !== 'login' || occupant.grant.refreshToken.reveal() === tokens.refresh) continue;
    (occupant.grant.expiresAt > expiresAt ? later : threatened).push(slot.address.agent);
  }
  if (threatened.length + later.length === 0) return [];
  const who = release === null ? 'this OpenClaw (release unknown)' : `OpenClaw ${release.version}`;
  const isNow = threatened.length > 0;
  const agents = (isNow ? threatened : later).join(', ');
  const text = isNow
    ? `${doubtful ? 'if it is one of 3.24 to 4.15, ' : ''}${who} copies Codex's own login (${path}) over the slot of agent ${agents} at its next look`
    : `${who} copies Codex's own login (${path}) over the slot of agent ${agents} as soon as Codex renews it`;
  const remedy = 'codex-router import --take';
  return [{ code: 'CODEX_OVERWRITES', part: 'slot', danger: isNow && !doubtful, text, remedy, mend: null }];
}

async function unsaidExpiry(path: string): Promise<number> {
  return (await stat(path)).mtimeMs + UNSAID_LIFE_MS;
}

async function occupantOf(slot: Slot) {
  try {
    return (await slot.read()).occupant;
  } catch (error) {
    if (error instanceof RouterError) return null;
    throw error;
  }
}
