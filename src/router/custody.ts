import { RouterError } from '../errors.js';
import type { Holding } from '../holding.js';
import type { Fingerprint, OpenRepo } from '../repo/repo.js';
import type { Host, HostNote, SlotGroup } from '../slot/host.js';

/** A place outside OpenClaw that can hold a grant of ours: the Codex CLI's own auth.json. */
export interface OutsideHolder {
  /** Says who in an error sentence: "the Codex CLI (~/.codex)". */
  readonly name: string;
  /** The command that ends the double holding. */
  readonly remedy: string;
  /** Null when it holds no login. Throws when it cannot be understood. */
  read(): Promise<Holding | null>;
}

export interface Custody {
  /** Who else holds the grant, in words; null when nobody does. */
  readonly holder: { readonly name: string; readonly remedy: string } | null;
  /** Places that could not be read, so that their holding is unknown. */
  readonly notes: readonly HostNote[];
}

/**
 * Derives who holds a grant by reading every slot outside `group` and every outside holder, comparing fingerprints. What
 * cannot be read is noted, never taken for empty.
 */
export async function holderOf(
  fingerprint: Fingerprint,
  repo: OpenRepo,
  host: Host,
  group: SlotGroup,
  outside: readonly OutsideHolder[],
): Promise<Custody> {
  const notes: HostNote[] = [];
  const inGroup = new Set([group.main, ...group.copies].map((slot) => slot.address.id));
  for (const slot of await host.allSlots()) {
    if (inGroup.has(slot.address.id)) continue;
    const held = await readable(() => slot.read(), `agent ${slot.address.agent}`, notes);
    if (held === null) continue;
    const logins = [held.occupant, ...held.neighbours].filter((login) => login.kind === 'login');
    if (logins.some((login) => repo.fingerprint(login.grant) === fingerprint)) {
      const { agent } = slot.address;
      return {
        holder: { name: `OpenClaw's agent ${agent}`, remedy: `codex-router use <another> --agent ${agent}` },
        notes,
      };
    }
  }
  for (const { name, remedy, read } of outside) {
    const held = await readable(read, name, notes);
    if (held !== null && repo.fingerprint(held.grant) === fingerprint)
      return { holder: { name, remedy }, notes };
  }
  return { holder: null, notes };
}

async function readable<T>(read: () => Promise<T>, name: string, notes: HostNote[]): Promise<T | null> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    notes.push({ code: 'HOLDER_UNREADABLE', text: `${name} could not be read: ${error.message}` });
    return null;
  }
}
