import { bound, memberOf } from './host.js';
import { namesSession } from './route.js';
import { gatewayModule } from './sdk.js';
import type { CommandContext } from './sender.js';
import type { BoundTo } from './telegram.js';

/** The host's own look at its conversation bindings, where no session is named by the release; null where it has none, or need not. */
export async function bindingsFor(context: CommandContext): Promise<BoundTo | null> {
  if (namesSession(context) || context.channel !== 'telegram') return null;
  const open = bound(
    await gatewayModule('openclaw/plugin-sdk/conversation-runtime'),
    'getSessionBindingService',
  );
  let service: unknown = null;
  try {
    service = open?.();
  } catch {
    // What cannot be looked up is not known: no session is named then.
    return null;
  }
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
