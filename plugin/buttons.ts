/** Rows of buttons as the child gives them. */
export type Buttons = readonly (readonly { readonly text: string; readonly data: string }[])[];

/** What a command's handler returns to the host: OpenClaw's ReplyPayload, as far as we use it. */
export interface Reply {
  readonly text?: string;
  /** Nothing is to be sent, whatever else is here (permission.ts). */
  readonly suppressReply?: boolean;
  readonly channelData?: { readonly telegram: { readonly buttons: readonly (readonly TelegramButton[])[] } };
}

interface TelegramButton {
  readonly text: string;
  readonly callback_data: string;
}

/** Telegram's limit for a button's data, in bytes. */
const LONGEST_DATA = 64;

/**
 * Buttons go where a press comes back to us: to Telegram. Elsewhere a press would be a message to the model, so the
 * numbered lines of the text are the menu there.
 */
export function payloadOf(channel: string | null, text: string, buttons: Buttons): Reply {
  if (channel !== 'telegram' || buttons.length === 0) return { text };
  const rows = buttons.map((row) =>
    row.flatMap((button) => {
      const data = wireData(button.data);
      return data === null ? [] : [{ text: button.text, callback_data: data }];
    }),
  );
  return { text, channelData: { telegram: { buttons: rows.filter((row) => row.length > 0) } } };
}

/** The namespaces of our presses: the host looks for what stands before the first colon. */
export const NAMESPACES = ['codex_profile_', 'codex_usage_', 'codex_auth_'] as const;

/** `codex_profile_use_ab` as it goes to the channel: `codex_profile_:use_ab`. Null when it is none of ours, or too long. */
export function wireData(data: string): string | null {
  const namespace = NAMESPACES.find((one) => data.startsWith(one));
  if (namespace === undefined) return null;
  const wire = `${namespace}:${data.slice(namespace.length)}`;
  return Buffer.byteLength(wire) <= LONGEST_DATA ? wire : null;
}
