import { companionsOf, isOfProvider, type PinRules } from '../slot/companions.js';
import { isOwnSlot } from '../slot/own-slot.js';
import { canonicalKey, isChat, isSlash } from '../slot/session.js';
import { shellWord } from '../text.js';
import { leaveSessions } from './every-slot.js';
import { type Candidate, type Chosen, candidatesIn, restingUntil } from './explain-choice.js';
import { agrees, type Cause, disagrees, type Judged, type Layer, unknown } from './explain-layers.js';
import type { Scene } from './explain-scene.js';
import { clockText } from './times.js';

/** What turns without a pin, and later chats, run on. @param isRouted whether codex-router has ever switched the slot */
export function orderLayer(scene: Scene, chosen: Chosen, isRouted = true): Layer {
  const { slot, order, orderOf, reading } = scene;
  const there = candidatesIn(scene);
  const first = there.find(({ profileId }) => profileId === chosen.ids[0]);
  const places = {
    store: `order and lastGood in the store of agent ${orderOf ?? slot.address.agent}`,
    config: 'auth.order in openclaw.json: the store names none',
    profiles: 'auth.profiles in openclaw.json: no order is named anywhere',
    nothing: `the logins in the store of agent ${slot.address.agent}: no order is named anywhere`,
  };
  const isFixed = chosen.turns === 0 && first !== undefined;
  return {
    layer: 'order',
    readFrom: places[chosen.by],
    identity: isFixed && reading !== null ? first.identity : null,
    value: order?.join(', ') ?? (chosen.by === 'config' ? chosen.ids.join(', ') : 'none'),
    ...asOwnChoice(judgedOrder(scene, chosen, there), isRouted),
  };
}

/** What a person has set up in OpenClaw, and no switch has ever met, disagrees with nothing. */
function asOwnChoice(judged: Judged, isRouted: boolean): Judged {
  const isOwn = !isRouted && judged.cause !== null && OWN_CHOICES.includes(judged.cause);
  return isOwn ? agrees(judged.why) : judged;
}

const OWN_CHOICES: readonly Cause[] = ['other-behind', 'last-good', 'pinned-to-foreign'];

function judgedOrder(scene: Scene, chosen: Chosen, there: readonly Candidate[]): Judged {
  const { slot, reading, choosers, now, host, occupant } = scene;
  const { profileId } = slot.address;
  if (reading === null) return unknown('its store cannot be read');
  if (reading.occupant.kind === 'absent') return unknown('the slot is empty');
  const { ids, turns, refusal } = chosen;
  const mend = scene.use(occupant);
  const own = there.find((one) => one.profileId === profileId);
  const others = there.filter((one) => one.isLogin && one.profileId !== profileId);
  const behind = ids.slice(1).filter((id) => others.some((one) => one.profileId === id));
  const resting = restText(own, now);
  if (choosers.length > 0) {
    return disagrees('chosen-over', `the own store of agent ${choosers.join(', ')} chooses over it`, mend);
  }
  if (refusal !== null) {
    const why = `openclaw.json gives the slot the ${refusal.what} ${refusal.said}, so OpenClaw uses no login there`;
    const value = refusal.what === 'mode' ? 'oauth' : host.summary.provider;
    // A dot would end the id in a path of OpenClaw's.
    const remedy = profileId.includes('.')
      ? null
      : `openclaw config set ${shellWord(`auth.profiles.${profileId}.${refusal.what}`)} ${value}`;
    return disagrees('config-refuses', why, remedy);
  }
  const [first] = ids;
  if (first === undefined) {
    return disagrees('nothing-chosen', 'it names only profiles that are gone, so no login is chosen', mend);
  }
  if (turns > 1) {
    const why = `works sometimes: no order is fixed, so OpenClaw takes turns among ${turns} logins`;
    return disagrees('takes-turns', why, mend);
  }
  if (first !== profileId && resting !== null && ids.includes(profileId)) {
    const why = `works sometimes: ${resting}, and runs on ${first} meanwhile`;
    return disagrees('slot-resting', why, mend);
  }
  if (first !== profileId) {
    const why = ids.includes(profileId)
      ? `it names ${first} before the slot`
      : `it names ${first} and not the slot`;
    return disagrees('other-first', why, mend);
  }
  if (behind.length > 0) {
    const why =
      'works sometimes: another login is behind the slot, which OpenClaw turns to when the slot fails or rests';
    return disagrees('other-behind', why, mend);
  }
  // A legacy id to it: when its refresh fails, it runs on lastGood's, or on the only other login, without a word (3.28, 5.7).
  const isLegacy = host.summary.provider === 'openai-codex' && others.length > 0;
  // Before 9.6 OpenClaw calls good what the last turn of any session ran on, one in an own slot too.
  if (isLegacy && reading.lastGood !== profileId && !isOwnSlot(reading.lastGood ?? '')) {
    const why =
      'works sometimes: lastGood does not name the slot, so OpenClaw runs on another login when a refresh fails';
    return disagrees('last-good', why, mend);
  }
  return agrees(resting);
}

/** Why the host passes the slot over for a while; null when it does not. */
function restText(own: Candidate | undefined, now: number): string | null {
  const rest = restingUntil(own?.stats ?? {}, now);
  if (rest === null) return null;
  const because = rest.reason === null ? '' : ` (${rest.reason})`;
  return `OpenClaw lets the slot rest until ${clockText(rest.until, now)}${because}`;
}

/** What the session that is meant says it runs on. @param isRouted as `orderLayer` */
export function pinLayer(scene: Scene, isRouted = true): Layer {
  const { session, reading } = scene;
  const base = { layer: 'pin' as const, readFrom: `the sessions of agent ${session.agent}` };
  const { key, entry } = session;
  if (key === null || entry === null) {
    return { ...base, identity: null, value: null, ...unknown(session.why) };
  }
  const { pinnedTo } = entry;
  const value = pinnedTo ?? 'none';
  if (isSlash(key)) {
    return { ...base, identity: null, value, ...unknown(slashText(scene, key)) };
  }
  if (pinnedTo === null) {
    return { ...base, identity: scene.occupant, value, ...agrees('it follows the order') };
  }
  const pinned = candidatesIn(scene).find(({ profileId }) => profileId === pinnedTo);
  const identity = pinnedTo === scene.slot.address.profileId ? scene.occupant : (pinned?.identity ?? null);
  if (!isRouted && reading?.occupant.kind === 'absent' && pinned?.isLogin) {
    const why = 'it runs on that, and nothing was ever put into the slot';
    return { ...base, identity, value, ...agrees(why) };
  }
  if (isOwnSlot(pinnedTo) && pinned?.isLogin) {
    const why = `${key} has a slot of its own: ${leaveSessions([key])} ends that`;
    return { ...base, identity, value, ...agrees(why) };
  }
  if (scene.isChosen && pinned?.isLogin && pinnedTo !== scene.slot.address.profileId) {
    const why = `codex-router session set has chosen that: codex-router session set ${shellWord(key)} pins it to the slot`;
    return { ...base, identity, value, ...agrees(why) };
  }
  const judged = judgedPin(scene, key, pinnedTo, pinned);
  return { ...base, identity, value, ...asOwnChoice(judged, isRouted) };
}

function judgedPin(scene: Scene, key: string, pinnedTo: string, pinned: Candidate | undefined): Judged {
  const { slot, reading, session, host, occupant } = scene;
  if (pinnedTo === slot.address.profileId && reading?.occupant.kind === 'absent') {
    const why = `${key} is pinned to ${pinnedTo}, and no login is there`;
    return disagrees('pinned-to-gone', why, fillCommand(scene, key));
  }
  if (pinnedTo === slot.address.profileId) {
    const isAuto = session.entry?.pinSource === 'auto';
    const notes = [
      isAuto
        ? 'OpenClaw chose it itself, and chooses anew for a new conversation or when the slot rests'
        : null,
      apartText(scene, key),
    ];
    return agrees(notes.filter((note) => note !== null).join('; ') || null);
  }
  if (!isOfProvider(pinnedTo, host.summary)) {
    const why = `${key} runs on ${pinnedTo}, which is no login of ${host.summary.provider}: codex-router leaves that choice`;
    return disagrees('pinned-to-foreign', why, null);
  }
  const remedy = scene.use(occupant, ` --session ${shellWord(key)}`);
  return pinned === undefined && reading !== null
    ? disagrees('pinned-to-gone', `${key} is pinned to ${pinnedTo}, which is not there any more`, remedy)
    : disagrees('pinned-elsewhere', `${key} is pinned to ${pinnedTo}, not to the slot`, remedy);
}

/** Who is to fill an empty slot is told by nothing here, unless only one is stored. */
function fillCommand({ entries, use }: Scene, key: string): string {
  const flag = ` --session ${shellWord(key)}`;
  const [one, other] = entries;
  if (one === undefined) return 'codex-router login';
  return other === undefined ? use(one.identity, flag) : `codex-router use <accountId>${flag}`;
}

/** OpenClaw reads the chat's entry for a command that was typed in it, never the slash entry's (3.28 to 9.6): no disagreement. */
function apartText(scene: Scene, key: string): string | null {
  const { slot, session, neighbours } = scene;
  const { profileId } = slot.address;
  const rules = rulesOf(scene, [profileId, ...neighbours.map((one) => one.profileId)]);
  const apart = companionsOf(key, session.entries, rules).filter(
    (one) => ![null, profileId].includes(session.entries.find((each) => each.key === one)?.pinnedTo ?? null),
  );
  if (apart.length === 0) return null;
  return `${apart.length} companion ${apart.length === 1 ? 'entry names' : 'entries name'} another profile, which no turn reads`;
}

function rulesOf({ slot, host }: Scene, known: readonly string[]): PinRules {
  const { provider, formerProvider } = host.summary;
  const slotProfileId = slot.address.profileId;
  return { slotProfileId, provider, formerProvider, knownProfileIds: new Set(known) };
}

function slashText(scene: Scene, key: string): string {
  const { session } = scene;
  const rules = rulesOf(scene, []);
  const chats = session.entries.filter(
    (entry) =>
      isChat(entry) &&
      companionsOf(entry.key, session.entries, rules).some((one) => canonicalKey(one) === canonicalKey(key)),
  );
  const [chat, other] = chats;
  const which = chat === undefined || other !== undefined ? 'its chat' : chat.key;
  const command = which === 'its chat' ? '' : `: codex-router explain --session ${shellWord(which)}`;
  return `no turn runs on a slash entry, and /status typed there shows ${which}${command}`;
}
