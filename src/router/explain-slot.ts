import { type Identity, sameIdentity } from '../identity.js';
import type { JsonObject } from '../json.js';
import type { Journal, SwitchRecord } from '../repo/journal.js';
import type { IndexEntry } from '../repo/repo.js';
import type { Occupant, SlotReading } from '../slot/slot.js';
import { shellWord } from '../text.js';
import { FOR_THE_LOGIN, restingUntil } from './explain-choice.js';
import { agrees, disagrees, type Judged, type Layer, unknown } from './explain-layers.js';
import type { Scene } from './explain-scene.js';
import { isStoredCopy, problemIn } from './lost.js';
import { entryOrNull } from './resolve.js';
import { ageText, clockText } from './times.js';

/** What codex-router last put into the slot. */
export interface Choice {
  readonly layer: Layer;
  /** Null: it was emptied; undefined: nothing was switched here. */
  readonly routed: Identity | null | undefined;
}

export async function choiceLayer(journal: Pick<Journal, 'read'>, scene: Scene): Promise<Choice> {
  const { slot, shadows, entries } = scene;
  const records = (await journal.read()).filter(({ step }) => step !== 'abandoned');
  const lastOf = (id: string): SwitchRecord | undefined => records.filter((one) => one.slot === id).at(-1);
  const last = lastOf(slot.address.id) ?? (shadows === null ? undefined : lastOf(shadows.slot.address.id));
  const base = { layer: 'choice', readFrom: "codex-router's journal", identity: null } as const;
  if (last === undefined) {
    const why = 'no switch by codex-router is on record here';
    return { layer: { ...base, value: 'nothing yet', ...unknown(why) }, routed: undefined };
  }
  const { to, step } = last;
  const routed =
    to && (entryOrNull(to, entries)?.identity ?? { ...to, email: null, plan: null, workspace: null });
  const isOpen = step === 'begun' || step === 'swapped';
  const why = 'that switch has not come to its end, or is under way';
  const judged = isOpen ? disagrees('switch-unfinished', why, 'codex-router sync') : agrees();
  return { layer: { ...base, identity: routed, value: routed === null ? 'empty' : null, ...judged }, routed };
}

/** Who is in the slot now, beside whom codex-router put there, and whether that login still works. */
export function slotLayer(scene: Scene, routed: Choice['routed']): Layer {
  const { host, slot, reading, shadows, occupant, entries } = scene;
  const { agent, profileId, layout } = slot.address;
  const beside = shadows === null ? '' : ', which goes before the shared one';
  const readFrom = `${profileId} in the ${layout} store of agent ${agent}${beside}, ${host.summary.stateDir}`;
  const there = reading?.occupant;
  const value =
    reading === null
      ? 'unreadable'
      : there?.kind === 'login' || there === undefined
        ? null
        : (problemIn(slot, there, entries) ?? 'empty');
  return { layer: 'slot', readFrom, identity: occupant, value, ...judged(scene, routed) };
}

function judged(scene: Scene, routed: Choice['routed']): Judged {
  const { reading, trouble } = scene;
  if (reading === null) {
    const why = trouble?.message ?? 'it cannot be read';
    if (trouble?.code !== 'SLOT_UNREADABLE') return unknown(why);
    // What cannot be understood here is no login to OpenClaw either. A whole store is more than a login makes anew.
    const isEntry = trouble.hint?.includes('openclaw models auth login') === true;
    return disagrees('login-damaged', why, isEntry ? loginThere(scene) : null);
  }
  const { occupant } = reading;
  if (occupant.kind !== 'login') return withoutLogin(scene, occupant, routed);
  const { entries } = scene;
  const isRouted = routed === undefined || (routed !== null && sameIdentity(routed, occupant.identity));
  if (scene.shadows !== null && routed && !isRouted) {
    const why = 'a login of its own goes before the one that codex-router put into the shared store';
    const there = scene.shadows.reading.occupant;
    const isThere = there.kind === 'login' && sameIdentity(there.identity, routed);
    return disagrees('shadowed', why, scene.use(routed, isThere ? ' --move' : ''));
  }
  if (!isRouted) {
    const why =
      routed === null
        ? 'codex-router had emptied it: another program has put a login in'
        : 'another program has put another login in since codex-router did';
    const isKnown = routed !== null && entryOrNull(routed, entries) !== null;
    return disagrees('other-login', why, scene.use(isKnown ? routed : occupant.identity));
  }
  const broken = brokenLogin(scene, reading);
  if (broken !== null) return broken;
  // A refused renewal is written nowhere by 5.7 and 7.35: then every turn fails, and this is all that can be seen of it.
  if (occupant.grant.expiresAt <= scene.now) {
    const again = loginAs(entryOrNull(occupant.identity, entries), entries, occupant.identity);
    return unknown(
      `its access token expired ${ageText(occupant.grant.expiresAt, scene.now)}: OpenClaw renews it with the next turn, and where that fails only ${again} helps`,
    );
  }
  return agrees(entryOrNull(occupant.identity, entries) === null ? 'that login is not stored here' : null);
}

function withoutLogin(
  scene: Scene,
  occupant: Exclude<Occupant, { kind: 'login' }>,
  routed: Choice['routed'],
): Judged {
  switch (occupant.kind) {
    case 'refreshing':
      return unknown('OpenClaw is renewing the login there just now');
    case 'absent':
      return routed ? disagrees('slot-empty', 'no login is there any more', scene.use(routed)) : agrees();
    case 'lost': {
      const entry = routed ? entryOrNull(routed, scene.entries) : null;
      const why = 'a refresh by OpenClaw failed, and it keeps no login after that';
      const remedy =
        entry !== null && isEnded(entry) ? loginAs(entry, scene.entries) : scene.use(routed ?? null);
      return disagrees('login-lost', why, remedy);
    }
    case 'foreign': {
      if (occupant.remains === undefined && !/\blogin\b/.test(occupant.what)) {
        const why = 'no login is there, and codex-router does not overwrite what is';
        return disagrees('slot-foreign', why, null);
      }
      // `use` puts one in the place of what proves to be left of it.
      const isOurs = occupant.remains !== undefined && routed && entryOrNull(routed, scene.entries) !== null;
      const remedy = isOurs ? scene.use(routed) : loginThere(scene);
      return disagrees('login-damaged', 'OpenClaw cannot use or renew it', remedy);
    }
  }
}

/** Null for a login that works as far as can be told here. */
function brokenLogin(scene: Scene, { occupant }: SlotReading): Judged | null {
  if (occupant.kind !== 'login') return null;
  const { now, entries } = scene;
  const entry = entryOrNull(occupant.identity, entries);
  const isExpired = occupant.grant.expiresAt <= now;
  const failed = failedRefreshes(occupant.selection ?? {}, now, isExpired);
  if (failed !== null) {
    const isRenewed = entry !== null && !isStoredCopy(entry) && !isEnded(entry);
    const remedy = isRenewed ? scene.use(entry.identity) : loginAs(entry, entries, occupant.identity);
    const left = isRenewed ? '; a newer login of it is stored' : '';
    return disagrees('refresh-failing', `OpenClaw could not renew it: ${failed}${left}`, remedy);
  }
  if (entry === null || !isStoredCopy(entry) || !isEnded(entry)) return null;
  const until = isExpired
    ? 'and it has expired'
    : `it works until ${clockText(occupant.grant.expiresAt, now)}`;
  const why = `the issuer has ended this login: ${until}`;
  return disagrees('login-ended', why, loginAs(entry, entries));
}

/** OpenClaw's own record of refreshes and calls that were refused for the login itself; null for none that counts. */
function failedRefreshes(stats: JsonObject, now: number, isExpired: boolean): string | null {
  const rest = restingUntil(stats, now);
  if (rest?.reason && FOR_THE_LOGIN.has(rest.reason)) {
    return `it was refused (${rest.reason}), and rests until ${clockText(rest.until, now)}`;
  }
  const counts = stats.failureCounts;
  if (!isExpired || typeof counts !== 'object' || counts === null || Array.isArray(counts)) return null;
  const failures = Object.entries(counts).flatMap(([reason, count]) =>
    FOR_THE_LOGIN.has(reason) && typeof count === 'number' && count > 0 ? [`${count} x ${reason}`] : [],
  );
  return failures.length === 0 ? null : `its access token has expired, and since then ${failures.join(', ')}`;
}

function isEnded({ doubt }: IndexEntry): boolean {
  return doubt === 'login-needed' || doubt === 'lost-outside';
}

function loginAs(
  entry: IndexEntry | null,
  entries: readonly IndexEntry[],
  who: Identity | null = entry?.identity ?? null,
): string {
  if (entry === null && who !== null) return `codex-router login --expect ${shellWord(who.accountId)}`;
  if (entry === null) return 'codex-router login';
  const isAlone =
    entries.filter(({ identity }) => identity.accountId === entry.identity.accountId).length === 1;
  const { accountId, userId } = entry.identity;
  return `codex-router login --expect ${shellWord(isAlone ? accountId : `${accountId}/${userId}`)}`;
}

/** What codex-router does not overwrite, OpenClaw's own login makes anew. */
function loginThere({ host, slot }: Scene): string {
  const { provider } = host.summary;
  const named = provider === 'openai' ? ` --profile-id ${shellWord(slot.address.profileId)}` : '';
  return `openclaw models auth login --provider ${provider}${named}`;
}
