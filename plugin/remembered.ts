import type { CommandContext } from './sender.js';

/** The host gives a press of a button neither a session nor a right: it has those of the command that was answered there. */
export interface Remembered {
  /** An allowed command of this sender in this chat. */
  keep(sender: string | null, chat: string | null, context: CommandContext, now: number): void;
  /** Its context; null when there was none within 15 minutes. */
  find(sender: string | null, chat: string | null, now: number): CommandContext | null;
}

const LIFETIME = 15 * 60 * 1000;
const MOST = 200;

export function remembered(): Remembered {
  const kept = new Map<string, { readonly context: CommandContext; readonly until: number }>();
  const placeOf = (sender: string, chat: string) => `${sender} ${chat}`;
  return {
    keep: (sender, chat, context, now) => {
      if (sender === null || chat === null) return;
      const place = placeOf(sender, chat);
      kept.delete(place);
      kept.set(place, { context, until: now + LIFETIME });
      for (const [oldest] of kept) {
        if (kept.size <= MOST) break;
        kept.delete(oldest);
      }
    },
    find: (sender, chat, now) => {
      if (sender === null || chat === null) return null;
      const found = kept.get(placeOf(sender, chat));
      return found !== undefined && now < found.until ? found.context : null;
    },
  };
}
