import { NAMESPACES, type Reply } from './buttons.js';
import { answer, type Room } from './commands.js';
import { bound, memberOf } from './host.js';
import { routeOf } from './route.js';
import type { CommandContext } from './sender.js';

/** Takes the presses of our buttons in Telegram, where the release hands them to plugins. */
export function takePresses(room: Room): void {
  for (const namespace of NAMESPACES) {
    room.host.registerInteractiveHandler?.({
      channel: 'telegram',
      namespace,
      handler: async (press: unknown) => {
        await answerPress(room, namespace, press);
        return { handled: true };
      },
    });
  }
}

/** A press has the rights and the session of the sender's own last command in that chat, and none without one. */
async function answerPress(room: Room, namespace: string, press: unknown): Promise<void> {
  const payload = memberOf(press, 'callback', 'payload');
  const at = placeOfPress(press);
  if (typeof payload !== 'string' || at === null) return;
  const { sender, chat, isDirect } = routeOf(at, null);
  const context = room.remembered.find(sender, chat, room.now());
  const respond = memberOf(press, 'respond');
  const reply = async ({ text, suppressReply, channelData }: Reply) => {
    if (text === undefined || suppressReply === true) return;
    const buttons = channelData?.telegram.buttons;
    await bound(respond, 'reply')?.({ text, ...(buttons === undefined ? {} : { buttons }) });
  };
  if (context === null) {
    // In a group it may be anybody's finger.
    if (isDirect && at.isAuthorizedSender === true) await reply({ text: STALE });
    return;
  }
  const { reply: said, isFirst } = await answer(room, `${namespace}${payload}`, {
    ...context,
    isAuthorizedSender: at.isAuthorizedSender,
  });
  await reply(said);
  // A menu is answered once; a message that is gone has no buttons.
  if (isFirst) await Promise.resolve(bound(respond, 'clearButtons')?.()).catch(() => undefined);
}

const STALE = 'That menu is from before. Send /codex_profile, /codex_usage or /codex_auth again.';

/** What the host would have given a command that was sent from there. */
function placeOfPress(press: unknown): CommandContext | null {
  const chatId = memberOf(press, 'callback', 'chatId');
  if (typeof chatId !== 'string') return null;
  const threadId = memberOf(press, 'threadId');
  const isGroup = memberOf(press, 'isGroup');
  if (typeof isGroup !== 'boolean') return null;
  const topic = isGroup && threadId !== undefined ? `:topic:${String(threadId)}` : '';
  return {
    channel: 'telegram',
    senderId: memberOf(press, 'senderId'),
    accountId: memberOf(press, 'accountId'),
    isAuthorizedSender: memberOf(press, 'auth', 'isAuthorizedSender'),
    from: isGroup ? `telegram:group:${chatId}${topic}` : `telegram:${chatId}`,
    to: `telegram:${chatId}`,
    messageThreadId: threadId,
  };
}
