import type { ChatHost } from './chat-host.js';
import { until } from './process.js';
import type { Login } from './tokens.js';

/** What a busy machine's gateway leaves of a right answer: it was told, and has not said in time that it took it. */
const NOT_YET = /after one more message|once OpenClaw has reloaded|the gateway has not taken it yet/;
export const QUESTION = /Do it\?/;

/** Any answer but the line that says one is coming. */
export const ANSWER = /^(?!One moment)/;

/** Says something in a chat; what comes back. */
export type Say = (text: string) => Promise<string>;

/** What the question itself says to answer: soon after another answer it has a name. */
export function yesTo(question: string): string {
  return /\/codex_profile yes(?: [a-z2-7]{8})?(?= or )/.exec(question)?.[0] ?? '/codex_profile yes';
}

/** `use` as a person does it: agrees when asked, and asks again where a busy machine's gateway was too slow to say. */
export async function switched(say: Say, ways: readonly string[]): Promise<string> {
  let last = '';
  for (const way of ways) {
    last = await say(`/codex_profile use ${way}`);
    if (QUESTION.test(last)) last = await say(yesTo(last));
    if (!NOT_YET.test(last)) return last;
  }
  return last;
}

/** Different texts for the same login: the same text is not run twice within 20 s. */
export function waysTo({ accountId, userId }: Login, alias: string): readonly string[] {
  return [alias, `"${alias}"`, `${accountId}/${userId}`, `'${alias}'`];
}

export function rowOf({ state }: ChatHost, key: string): string {
  return JSON.stringify(state.sessionRows()[key] ?? null);
}

/** An entry's row once its turn has written all it had to write. */
export async function settled(host: ChatHost, key: string): Promise<string> {
  let last = '';
  let same = 0;
  return await until(`${key} is written`, () => {
    const now = rowOf(host, key);
    same = now === last ? same + 1 : 0;
    last = now;
    return same >= 10 ? now : null;
  });
}
