import { RouterError } from '../errors.js';
import type { Host } from '../slot/host.js';
import type { HostTrouble, TroubleMend } from '../slot/trouble.js';
import type { Finding, Mend } from './finding.js';
import { gatewayFindings } from './host-gateway-findings.js';
import { orderFindings } from './host-order-findings.js';
import { pinFindings } from './host-pin-findings.js';
import { restFindings } from './host-rest-findings.js';
import { sceneOfHost } from './host-scene.js';
import type { SlotMendDeps } from './mend-slot.js';
import { requireOwner } from './owner.js';

/**
 * What is wrong in the host itself, for all its agents and sessions: its files, what chooses among its logins, pins to what is gone, and a
 * gateway that has not read a slot again. Looks only; nothing is renewed and no gateway made to read. A part that cannot be read finds nothing:
 * who looks for holders tells why.
 */
export async function hostFindings(deps: SlotMendDeps): Promise<readonly Finding[]> {
  const { host, journal } = deps;
  const troubles = await orNone(async () => (await host.troubles?.()) ?? []);
  const scene = (await orNone(async () => [await sceneOfHost(host, journal)]))[0];
  const files = troubles.map((trouble) => findingOf(trouble, (mend) => mendOf(deps, mend)));
  if (scene === undefined) return files;
  return [
    ...files,
    ...(await orNone(() => orderFindings(deps, scene))),
    ...restFindings(deps, scene),
    ...(await orNone(() => pinFindings(deps, scene))),
    ...(await orNone(() => gatewayFindings(deps, scene))),
  ];
}

/** Those of its files alone, where the vault that a mend needs is closed. */
export async function fileFindings({ troubles }: Pick<Host, 'troubles'>): Promise<readonly Finding[]> {
  const found = await orNone(async () => (await troubles?.()) ?? []);
  return found.map((trouble) => findingOf(trouble, () => null));
}

async function orNone<T>(look: () => Promise<readonly T[]>): Promise<readonly T[]> {
  try {
    return await look();
  } catch (error) {
    if (error instanceof RouterError) return [];
    throw error;
  }
}

function findingOf(
  { code, part, danger, text, remedy, mend }: HostTrouble,
  mended: (mend: TroubleMend) => Mend | null,
): Finding {
  return { code, part, danger, text, remedy, mend: mend && mended(mend) };
}

/** Under our own lock, so that no other codex-router is in the middle of what is looked at. */
function mendOf(deps: SlotMendDeps, { does, carryOut }: TroubleMend): Mend {
  const { host, opening, withLock, critical } = deps;
  return {
    does,
    carryOut: async (keep) => {
      const repo = await opening;
      const { text, kept } = await withLock(async () => {
        await requireOwner(host, repo);
        return await critical(() => carryOut((before) => keep({ kind: 'file', ...before })));
      });
      return { text, undo: kept && `codex-router doctor --undo ${kept}`, notes: [] };
    },
  };
}
