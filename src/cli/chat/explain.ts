import type { ExplainDocument } from '../documents.js';
import type { Chat, ChatAnswer } from './chat.js';
import { labelOf } from './labels.js';
import { raise } from './raise.js';
import { sessionOf } from './switching.js';
import { inChat } from './trouble.js';

type Layer = ExplainDocument['layers'][number];

/** `/codex_profile explain`: what each place that can disagree says of this chat, and what mends it. */
export async function explainChat(chat: Chat): Promise<ChatAnswer> {
  sessionOf(chat);
  const { layers, agrees, first, remedy } = raise(await chat.within('explain', []));
  const entries = await chat.entries();
  const said = (layer: Layer): string => {
    const { identity, value, verdict, why } = layer;
    const who =
      identity === null
        ? inChat(value ?? 'nothing', chat.showsEmails)
        : labelOf(identity, entries, chat.showsEmails);
    const because =
      verdict === 'agrees' || why === null ? '' : ` (${verdict}: ${inChat(why, chat.showsEmails)})`;
    return `${layer.layer}: ${who}${because}`;
  };
  const lines = [
    agrees ? agreement(layers) : `The ${first ?? 'first'} layer disagrees.`,
    ...layers.map(said),
    ...(remedy === null ? [] : [`Remedy, on the computer: ${inChat(remedy, chat.showsEmails)}`]),
  ];
  return { text: lines.join('\n'), result: 'explained' };
}

/** What could not be read is no agreement. */
function agreement(layers: readonly Layer[]): string {
  const isSlotUnknown = layers.some(({ layer, verdict }) => layer === 'slot' && verdict === 'unknown');
  return isSlotUnknown
    ? 'The slot could not be read, so that nothing can be said to agree.'
    : 'Nothing disagrees.';
}
