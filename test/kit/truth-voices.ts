import { type ChatClient, chatClient } from './chat-client.js';
import { until } from './process.js';
import { traitsOf } from './releases.js';
import type { JsonDocument } from './router.js';
import { type Login, people } from './tokens.js';
import type { TruthHost } from './truth-host.js';

/** What OpenClaw itself says and does, independent of codex-router. An account is told by its e-mail; null for none. */
export interface Voices {
  /** `/status` in the session: the account of its label, and whose quota it asked for, if it did. */
  status(session: string): Promise<{ readonly label: string | null; readonly usage: readonly string[] }>;
  /** RPC `models.authStatus`: whose login the gateway holds in the slot. */
  held(): Promise<string | null>;
  /** On whom one turn of the session ran, by its model calls; `failed: ...` in OpenClaw's own words. */
  turn(session: string): Promise<string>;
  /** `openclaw models auth list`: whose login lies in the slot. */
  listed(): Promise<string | null>;
  /** `openclaw models status`: whose name it shows for the slot. */
  shown(): Promise<string | null>;
  /** Says something in the session, as its person would; what was answered. */
  say(session: string, message: string): Promise<string>;
}

/** @param logins the ones whose expiry tells whose they are */
export function voicesOf(host: TruthHost, logins: readonly Login[]): Voices {
  const { issuer, state, release, port } = host;
  const { slot, provider } = traitsOf(release);
  let chat: Promise<ChatClient> | null = null;
  const say = async (session: string, message: string) => {
    chat ??= chatClient(port);
    const { text, error } = await (await chat).say(session, message);
    return error ?? text;
  };
  host.onStop(async () => {
    (await chat)?.close();
    chat = null;
  });
  return {
    say,
    status: async (session) => {
      const from = issuer.requests.length;
      const text = await say(session, '/status');
      const asked = issuer.requests.slice(from).filter(({ kind }) => kind === 'usage');
      return {
        label: /🔑.*\(([^()\s]+@[^()\s]+)\)/u.exec(text)?.[1] ?? null,
        usage: [...new Set(asked.map(({ who }) => emailOf(who)))],
      };
    },
    held: async () => {
      // From 6.1 on `refresh` would make it read the store again (facts: openclaw-sqlite.md section 0).
      const params = release === '2026.5.7' ? { refresh: true } : {};
      const { providers } = await host.call('models.authStatus', params);
      const own = providers.find((one: JsonDocument) => one.provider === provider);
      const at = own?.profiles.find((one: JsonDocument) => one.profileId === slot)?.expiry?.at;
      return logins.find(({ expires }) => expires === at)?.email ?? null;
    },
    turn: (session) => host.turn(session),
    listed: async () => {
      const { profiles } = await host.openclawJson(['models', 'auth', 'list', '--json']);
      return profiles.find(({ id }: JsonDocument) => id === slot)?.email ?? null;
    },
    shown: async () => {
      const { auth } = await host.openclawJson(['models', 'status', '--json']);
      const own = auth.oauth.profiles.find(({ profileId }: JsonDocument) => profileId === slot);
      return /\(([^()\s]+@[^()\s]+)\)/.exec(String(own?.label))?.[1] ?? null;
    },
  };

  function emailOf(who: string | null): string {
    const person = Object.values(people).find(({ accountId, userId }) => `${accountId}/${userId}` === who);
    return person?.email ?? state.dir;
  }
}

/** What a look says when a busy machine's gateway did not answer within codex-router's bounds. */
const TOO_SLOW =
  /did not answer in time|is still starting|did not say in time|GATEWAY_TIMEOUT|GATEWAY_STARTING/;

/** The same command again for as long as the gateway was merely too slow to answer: every document. */
export async function untilAnswered(
  host: TruthHost,
  args: readonly string[],
): Promise<readonly JsonDocument[]> {
  const documents: JsonDocument[] = [];
  await until(
    'the gateway answers in time',
    async () => {
      documents.push(await host.run(args));
      return !TOO_SLOW.test(JSON.stringify(documents.at(-1)));
    },
    180_000,
  );
  return documents;
}
