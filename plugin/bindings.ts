import { bound, memberOf } from './host.js';
import { gatewayModule } from './sdk.js';
import type { CommandContext } from './sender.js';
import type { BoundTo } from './telegram.js';

/** The host's own look at its conversation bindings, for a release that names no session; null where it has none, or need not. */
export async function bindingsFor(context: CommandContext): Promise<BoundTo | null> {
  if (context.sessionKey !== undefined || context.channel !== 'telegram') return null;
  const service = bound(
    await gatewayModule('openclaw/plugin-sdk/conversation-runtime'),
    'getSessionBindingService',
  )?.();
  const resolve = bound(service, 'resolveByConversation');
  if (resolve === null) return null;
  return (conversation) => {
    const found = resolve(conversation);
    if (found === null || found === undefined) return null;
    const key = memberOf(found, 'targetSessionKey');
    if (typeof key !== 'string') throw new Error('the binding cannot be read');
    return key;
  };
}
