import { fileURLToPath } from 'node:url';
import type { LeaveRequest } from '../../src/router/leave-own-slot.js';
import type { OwnSlotRequest } from '../../src/router/own-slot.js';
import { outputOf, runProcess } from './process.js';
import type { JsonDocument, Sandbox } from './router.js';

const HAND = fileURLToPath(new URL('./own-slot-hand.mjs', import.meta.url));

/** `useOwnSlot` or `leaveOwnSlot` as a command runs it. @param node that reads the host's stores */
export async function ownSlot(
  box: Sandbox,
  request:
    | ({ readonly op: 'use' } & Pick<OwnSlotRequest, 'selector' | 'sessions'> & { readonly dryRun?: boolean })
    | ({ readonly op: 'leave' } & Pick<LeaveRequest, 'sessions' | 'n'> & { readonly dryRun?: boolean }),
  node = process.execPath,
): Promise<JsonDocument> {
  const asked = JSON.stringify({ dryRun: false, ...request });
  const ran = await runProcess([node, HAND, asked], { env: box.env, cwd: box.root, timeout: 120_000 });
  if (ran.code !== 0) throw new Error(`the own slot's hand failed\n${outputOf(ran)}`);
  return JSON.parse(ran.stdout);
}
