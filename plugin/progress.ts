import { bound, type Host } from './host.js';
import type { CommandContext } from './sender.js';
import { telegramChat } from './telegram.js';

/** How long an answer may take before a line says that it is coming. */
const PATIENCE_MS = 2000;

/** ms that the answer waits for the line. */
const LINE_MS = 3000;

const LINE = 'One moment: codex-router is looking.';

/**
 * Does `work`; when it takes longer, a line is sent before its answer. Telegram only: elsewhere the host has no way to send
 * that is the same in all releases. A line that cannot be sent is left out.
 */
export async function withProgress<T>(
  host: Host,
  context: CommandContext,
  work: () => Promise<T>,
): Promise<T> {
  let sending: Promise<void> = Promise.resolve();
  const timer = setTimeout(() => {
    sending = send(host, context).catch(() => undefined);
  }, PATIENCE_MS);
  try {
    return await work();
  } finally {
    clearTimeout(timer);
    // The line is to come before the answer, but a channel that is slow with it does not hold that back.
    await Promise.race([sending, new Promise((wake) => setTimeout(wake, LINE_MS).unref())]);
  }
}

async function send(host: Host, context: CommandContext): Promise<void> {
  const to = telegramChat(context);
  if (to === null) return;
  const { accountId, messageThreadId: threadId, config: cfg } = context;
  const account = typeof accountId === 'string' ? { accountId } : {};
  const loadAdapter = bound(host.runtime('channel', 'outbound'), 'loadAdapter');
  if (loadAdapter !== null) {
    const adapter = await loadAdapter('telegram');
    await bound(
      adapter,
      'sendText',
    )?.({ cfg, to, text: LINE, ...account, ...(threadId == null ? {} : { threadId }) });
    return;
  }
  // 2026.3.28
  const thread = typeof threadId === 'number' ? { messageThreadId: threadId } : {};
  await bound(host.runtime('channel', 'telegram'), 'sendMessageTelegram')?.(to, LINE, {
    ...account,
    ...thread,
  });
}
