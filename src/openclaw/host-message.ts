import { join } from 'node:path';
import { runBounded } from '../os/bounded-child.js';
import { childEnv } from './gateway-command.js';
import { findHostNode, findHostPackage, type HostNodeDeps } from './host-node.js';

export interface MessageAddress {
  /** As OpenClaw names it: `telegram`. */
  readonly channel: string;
  /** As that channel has it: a chat id, a number, a name. */
  readonly target: string;
}

/** ms; OpenClaw alone takes up to half of it to start on a small machine, and then asks its gateway. */
const SEND_MS = 60_000;

/**
 * Sends a message through OpenClaw's own program (`openclaw message send`), which has its running gateway send it (5.7, 9.6). The text is
 * an argument, which every user of this machine may read while it runs.
 * @returns null when OpenClaw says that it was sent, else why not, quoting nothing of what OpenClaw said; never throws
 */
export async function sendHostMessage(
  deps: HostNodeDeps,
  { channel, target }: MessageAddress,
  text: string,
  timeoutMs = SEND_MS,
): Promise<string | null> {
  const found = await findHostPackage(deps);
  if (found === null) return 'no OpenClaw was found to send it';
  const node = await findHostNode(deps, found.engines);
  if (node === null) return 'no Node was found that this OpenClaw runs under';
  // `=`: a group's id begins with a minus.
  const words = [`--channel=${channel}`, `--target=${target}`, `--message=${text}`];
  const why = await runBounded({
    argv: [node.path, join(found.root, 'openclaw.mjs'), 'message', 'send', ...words],
    env: childEnv(deps),
    cwd: deps.stateDir,
    input: '',
    timeoutMs,
  });
  return why === null ? null : `openclaw message send ${why}`;
}
