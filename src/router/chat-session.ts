import { RouterError } from '../errors.js';
import type { Env } from '../os/folders.js';
import { chatsIn, parseChannelContext } from '../slot/channel-context.js';
import type { Host } from '../slot/host.js';
import { type CurrentSession, keyTold, type SessionWish } from '../slot/session.js';

/**
 * The wish with the chat that OPENCLAW_CHANNEL_CONTEXT names looked for, where that is what decides: in the sessions of every agent,
 * because the one whose chat it is need not be the default one. Anything else as it was given. Never a RouterError: what cannot
 * be told is no key, and why.
 */
export async function meantSession(
  host: Pick<Host, 'agents' | 'pinsOf'>,
  wish: SessionWish,
  env: Env,
): Promise<SessionWish> {
  const said = env.OPENCLAW_CHANNEL_CONTEXT?.trim() ?? '';
  if (wish.kind !== 'current' || keyTold(env) !== null || said === '') return wish;
  const context = parseChannelContext(said);
  if (context === null) return none('OPENCLAW_CHANNEL_CONTEXT does not say which chat this is');
  const found: string[] = [];
  for (const agent of host.agents) {
    try {
      const chats = chatsIn(context, await host.pinsOf(agent).read());
      found.push(...chats.map(({ key }) => key));
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
      return none(`the sessions of agent ${agent} cannot be read, and the chat may be one of them`);
    }
  }
  const [key, other] = found;
  if (key === undefined) return none('no session here is the chat that OPENCLAW_CHANNEL_CONTEXT names');
  if (other !== undefined) {
    return none(`${found.length} sessions can be the chat that OPENCLAW_CHANNEL_CONTEXT names`);
  }
  return { kind: 'context', key, why: 'the one session of the chat that OPENCLAW_CHANNEL_CONTEXT names' };
}

/**
 * The chat that `codex-router chat` is asked in, by its environment alone: never the most recent one.
 * @returns a key as it was told, which need not have an entry
 */
export async function chatSession(host: Pick<Host, 'agents' | 'pinsOf'>, env: Env): Promise<CurrentSession> {
  const told = keyTold(env);
  if (told !== null) return { key: told, why: 'given by CODEX_ROUTER_SESSION_KEY' };
  const wish = await meantSession(host, { kind: 'current' }, env);
  if (wish.kind === 'context') return { key: wish.key, why: wish.why };
  return { key: null, why: 'nothing says which chat this is: nothing is guessed, --session names it' };
}

function none(why: string): SessionWish {
  return { kind: 'context', key: null, why: `${why}: nothing is guessed, --session names it` };
}
