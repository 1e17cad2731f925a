import { RouterError } from '../../errors.js';
import { identityKey } from '../../identity.js';
import type { Env } from '../../os/folders.js';
import { type Asked, type ChatState, chatStateIn, type Handle } from '../../repo/chat-state.js';
import type { IndexEntry } from '../../repo/repo.js';
import { agentOf } from '../../slot/session.js';
import { isAgent } from '../agent-guard.js';
import type { Cli } from '../cli.js';
import { compose, type Parts } from '../compose.js';
import type { HostOptions } from '../options.js';
import type { ChatDocument, ChatRequest } from './protocol.js';
import { quietCli, type Within, withinOf } from './within.js';

/** What answers one request of a chat. */
export interface Chat {
  /** Knows this chat's session by its environment, and nothing of another one's. */
  readonly cli: Cli;
  readonly request: ChatRequest;
  /** Which OpenClaw is meant. */
  readonly options: HostOptions;
  readonly parts: Parts;
  readonly within: Within;
  readonly state: ChatState;
  /** Of the session; null for the default one. */
  readonly agent: string | null;
  /** Whether labels may hold e-mails: in a direct chat, and where the plugin's config says so. */
  readonly showsEmails: boolean;
  /** The stored identities, in the order that every menu has. */
  entries(): Promise<readonly IndexEntry[]>;
  handleOf(entry: Pick<IndexEntry, 'identity'>): Promise<Handle>;
  /** @throws USAGE where it is not known who asks or where: then nothing that has to belong to somebody is done. */
  asked(): Asked;
}

/** What is said, in chat words; what is left out is null, false or empty. */
export interface ChatAnswer {
  readonly text: string;
  readonly result: string;
  readonly buttons?: ChatDocument['buttons'];
  readonly effective?: ChatDocument['effective'];
  readonly pinsPending?: boolean;
  readonly dropsMessage?: boolean;
  readonly taken?: ChatDocument['taken'];
  readonly closes?: ChatDocument['closes'];
  readonly textIfTaken?: string | null;
}

/** A session that holds nothing is none: as a variable it would mean that any chat will do. */
function sessionGiven(request: ChatRequest): ChatRequest {
  if (request.session === null || request.session.trim() !== '') return request;
  return { ...request, session: null, sessionWhy: 'the session key is empty' };
}

/** An agent that runs this command says whom it likes to be: what a person was shown or asked stays theirs. */
function ownOf({ env }: Cli, request: ChatRequest): ChatRequest {
  if (!isAgent(env)) return request;
  const own = `agent:${request.session ?? ''}`;
  return { ...request, sender: own, chat: own };
}

export function chatOf(cli: Cli, given: ChatRequest, options: HostOptions): Chat {
  const request = ownOf(cli, sessionGiven(given));
  const inner = quietCli(cli, environment(cli.env, request.session));
  const parts = compose(inner, options);
  const state = chatStateIn(parts.folders.data, (work) => parts.withLock(work), cli.now);
  return {
    cli: inner,
    request,
    options,
    parts,
    within: withinOf(cli, inner.env, options),
    state,
    agent: request.session === null ? null : agentOf(request.session),
    showsEmails: request.isDirect || request.showsEmails,
    entries: () => parts.repo.list(),
    handleOf: ({ identity }) => state.handleOf(identityKey(identity)),
    asked: () => {
      const { sender, chat } = request;
      if (sender !== null && chat !== null) return { sender, chat };
      throw new RouterError(
        'USAGE',
        'it cannot be told here who is asking, so nothing is done that must be confirmed',
        {
          hint: 'use codex-router on the computer itself',
        },
      );
    },
  };
}

/** The gateway's own variables may be those of another chat. */
function environment(env: Env, session: string | null): Env {
  const { CODEX_ROUTER_SESSION_KEY, OPENCLAW_CHANNEL_CONTEXT, ...rest } = env;
  return session === null ? rest : { ...rest, CODEX_ROUTER_SESSION_KEY: session };
}
