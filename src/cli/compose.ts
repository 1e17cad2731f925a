import { join } from 'node:path';
import { identityKey } from '../identity.js';
import type { LocateDeps } from '../openclaw/locate.js';
import { holdsSqlite } from '../openclaw/sqlite-signs.js';
import { type Env, type RouterFolders, routerFolders } from '../os/folders.js';
import { recordName } from '../repo/files.js';
import { type Journal, journalIn, type Who } from '../repo/journal.js';
import type { RepoDeps } from '../repo/opening.js';
import type { OpenRepo, Repo } from '../repo/repo.js';
import { openRepoAt } from '../repo/store.js';
import type { BrowserIssuer } from '../router/browser-issuer.js';
import type { OutsideHolder } from '../router/custody.js';
import type { LoginArchive, LoginSource, LoginStore } from '../router/import-source.js';
import type { IsolatedLogins } from '../router/left-logins.js';
import type { CodexHomes } from '../router/lend-source.js';
import type { LoginIssuer } from '../router/login-issuer.js';
import type { Revocation } from '../router/revocation.js';
import type { TokenEndpoint } from '../router/token-endpoint.js';
import type { UsageSource } from '../router/usage-source.js';
import type { FoundHost, Host } from '../slot/host.js';
import type { Residue } from '../slot/residue.js';
import type { HostSnippets, SnippetWishes } from '../slot/snippets.js';
import type { ArchiveOptions } from './archive-keys.js';
import type { Cli } from './cli.js';
import { codexHolders } from './codex-holders.js';
import type { HostOptions, KeyOptions } from './options.js';
import { repoDepsOf } from './repo-deps.js';

/** The parts of one command, made when first asked for. This is the only file that knows OpenClaw and Codex. */
export interface Parts {
  readonly folders: RouterFolders;
  readonly repo: Repo;
  /** What the vault's own commands work on. */
  readonly repoDeps: RepoDeps;
  readonly journal: Journal;
  /** Runs `work` beside the start of the keychain's child, if the vault will need it; a failure ends the child. */
  besideKeychain<T>(work: () => Promise<T>): Promise<T>;
  /** Starts to open the vault; call it early, it may have to wait for a keychain. */
  openRepo(): Promise<OpenRepo>;
  host(): Promise<Host>;
  /** Another OpenClaw of this machine. @throws HOST_NOT_FOUND */
  hostAt(stateDir: string): Promise<Host>;
  /** What was found of the host, whether or not it would be routed. */
  foundHost(): Promise<FoundHost>;
  residue(found: FoundHost): Promise<Residue>;
  /** Sends a message through OpenClaw's own program; null when that says it did, else why not. Bounded; never throws. */
  hostMessage(
    to: { readonly channel: string; readonly target: string },
    text: string,
  ): Promise<string | null>;
  /** @param found null where there is no host */
  snippets(found: FoundHost | null, wishes: SnippetWishes): Promise<HostSnippets>;
  /** Our own lock; BUSY after a bounded wait. */
  withLock<T>(work: () => Promise<T>, waitMs?: number, signal?: AbortSignal): Promise<T>;
  /** The lock of one stored grant, to be taken before our own; BUSY after a bounded wait. */
  withGrantLock<T>(who: Who, work: () => Promise<T>, waitMs?: number, signal?: AbortSignal): Promise<T>;
  /** The issuer of ChatGPT logins. */
  readonly endpoint: TokenEndpoint;
  readonly revocation: Revocation;
  /** What is left to a login. */
  readonly usage: UsageSource;
  /** Whoever makes logins. */
  issuer(): Promise<LoginIssuer>;
  browserIssuer(): Promise<BrowserIssuer>;
  /** Holders of a grant outside OpenClaw. */
  readonly outside: readonly OutsideHolder[];
  logins(): Promise<LoginSource>;
  isolatedLogins(): Promise<IsolatedLogins>;
  /** The Codex homes that an identity can be lent to. */
  codexHomes(): Promise<CodexHomes>;
  /** The stores of other tools that keep several logins. */
  stores(): Promise<readonly LoginStore[]>;
  /** @param keys what opens one that is closed */
  archive(keys: ArchiveOptions): Promise<LoginArchive>;
}

/** Ends after `ms`. @throws the signal's reason, as soon as it is aborted */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((wake, end) => {
    const onAbort = () => {
      clearTimeout(timer);
      end(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      wake();
    }, ms);
    if (signal?.aborted) onAbort();
    else signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/** @param creates whether the command stores something and so may make the vault on a first run. */
export function compose(cli: Cli, options: HostOptions & KeyOptions, creates = false): Parts {
  const { env, platform } = cli;
  const folders = routerFolders(env, platform);
  const repoDeps = repoDepsOf(cli, folders, options, creates);
  const repo = openRepoAt(repoDeps);
  const uid = process.geteuid?.() ?? null;
  let host: Promise<Host> | null = null;
  const logins = async () => {
    const { codexLogins } = await import('../codex/logins.js');
    return codexLogins({
      env,
      platform,
      uid,
      get isTerminal() {
        return cli.terminal.canAsk;
      },
    });
  };
  return {
    folders,
    repo,
    repoDeps,
    journal: journalIn(folders.data),
    besideKeychain: async (work) => {
      try {
        await (await import('../repo/opening.js')).warmKeychain(repoDeps);
        return await work();
      } catch (error) {
        repoDeps.keychain.close();
        throw error;
      }
    },
    openRepo: () => {
      const opening = repo.open();
      // The command awaits it later, or fails for another reason first.
      opening.catch(() => undefined);
      return opening;
    },
    host: () => {
      host ??= findHost(cli, options, uid);
      return host;
    },
    hostAt: (stateDir) => findHost(cli, { stateDir }, uid, elsewhere(env)),
    foundHost: async () => {
      const { foundHost } = await import('../openclaw/found-host.js');
      return foundHost(locateDeps(cli, options, uid));
    },
    residue: async (found) => (await import('../openclaw/residue.js')).findResidue(found),
    hostMessage: async (...sent) => {
      const [{ sendHostMessage }, { findPlaces }] = await Promise.all([
        import('../openclaw/host-message.js'),
        import('../openclaw/places.js'),
      ]);
      const { options: given } = locateDeps(cli, options, uid);
      return sendHostMessage({ ...findPlaces(env, process.cwd(), given), env, platform, uid }, ...sent);
    },
    snippets: async (...asked) => (await import('../openclaw/snippets.js')).snippetsFor(...asked),
    withLock: async (work, waitMs, signal) => {
      const onWait = () => cli.say('waiting for another codex-router to finish ...');
      return (await import('../os/lock.js')).withRouterLock(folders.data, work, {
        onWait,
        signal,
        ...(waitMs !== undefined && { wait: waitMs }),
      });
    },
    withGrantLock: async (who, work, waitMs, signal) => {
      const onWait = () =>
        cli.say('waiting for another codex-router that refreshes or routes this login ...');
      const name = recordName(identityKey(who));
      return (await import('../os/lock.js')).withGrantLock(folders.data, name, work, {
        onWait,
        signal,
        ...(waitMs !== undefined && { wait: waitMs }),
      });
    },
    endpoint: {
      refresh: async (grant, signal) =>
        (await import('../codex/token-endpoint.js'))
          .tokenEndpoint({ env, now: cli.now, testIssuer: env.CODEX_ROUTER_TEST_ISSUER || null })
          .refresh(grant, signal),
    },
    issuer: async () => {
      const testIssuer = env.CODEX_ROUTER_TEST_ISSUER || null;
      return (await import('../codex/login-issuer.js')).loginIssuer({ env, now: cli.now, testIssuer, pause });
    },
    browserIssuer: async () => {
      const [{ browserIssuer }, { loginIssuerUrl }] = await Promise.all([
        import('../codex/browser-login.js'),
        import('../codex/login-exchange.js'),
      ]);
      return browserIssuer(loginIssuerUrl(env.CODEX_ROUTER_TEST_ISSUER || null));
    },
    revocation: {
      revoke: async (grant, signal) =>
        (await import('../codex/revoke.js'))
          .revocation({ env, testIssuer: env.CODEX_ROUTER_TEST_ISSUER || null })
          .revoke(grant, signal),
    },
    usage: {
      ask: async (...asked) =>
        (await import('../codex/usage.js'))
          .usageSource({ env, now: cli.now, testIssuer: env.CODEX_ROUTER_TEST_ISSUER || null })
          .ask(...asked),
    },
    outside: codexHolders(logins),
    logins,
    isolatedLogins: async () => {
      const testIssuer = env.CODEX_ROUTER_TEST_ISSUER || null;
      const { isolatedLogins } = await import('../codex/isolated-login.js');
      return isolatedLogins({ env, platform, data: folders.data, testIssuer, now: cli.now });
    },
    codexHomes: async () =>
      (await import('../codex/lend.js')).codexHomes({ env, platform, uid, now: cli.now }),
    stores: async () => {
      const [source, { toolStores }] = await Promise.all([logins(), import('../tools/stores.js')]);
      return toolStores({ env, parseAuthJson: source.parse, live: async () => (await source.home()).read() });
    },
    archive: async (keys) => {
      const [{ loginArchive }, { parseIssuer }] = await Promise.all([
        import('./archive-keys.js'),
        import('../codex/issuer.js'),
      ]);
      const testIssuer = env.CODEX_ROUTER_TEST_ISSUER || null;
      return loginArchive(cli, keys, (issuer, where) => void parseIssuer(issuer, where, testIssuer));
    },
  };
}

async function findHost(
  cli: Cli,
  options: HostOptions,
  uid: number | null,
  env: Env = cli.env,
): Promise<Host> {
  const { locateHost } = await import('../openclaw/locate.js');
  return locateHost(locateDeps(cli, options, uid, env));
}

function locateDeps(
  cli: Cli,
  { stateDir, profile, slot, via }: HostOptions,
  uid: number | null,
  env: Env = cli.env,
): LocateDeps {
  return {
    env,
    platform: cli.platform,
    uid,
    now: cli.now,
    signal: cli.interruption.signal,
    sdkChild: join(import.meta.dirname, 'sdk-child.js'),
    options: {
      ...(stateDir !== undefined && { stateDir }),
      ...(profile !== undefined && { profile }),
      ...(slot !== undefined && { slot }),
      ...(via !== undefined && { via }),
    },
    reload: async (target, routed, expiresAt) =>
      (await import('../openclaw/reload.js')).reloadSlot(target, routed, expiresAt, cli.now),
    held: async (target, slot, expiresAt, withinMs) =>
      (await import('../openclaw/reload.js')).heldInSlot(target, slot, expiresAt, cli.now, withinMs),
    activeRuns: async (target, agent) =>
      (await import('../openclaw/reload.js')).runningSessions(target, agent),
  };
}

/** The OpenClaw that is meant, when it keeps anything in SQLite, and a Node that can read that; null when it does not. @throws USAGE */
export async function sqliteHost(
  { env, platform }: Cli,
  { stateDir, profile }: HostOptions,
  cwd: string,
): Promise<{ readonly findNode: () => Promise<string | null> } | null> {
  const { findPlaces } = await import('../openclaw/places.js');
  const places = findPlaces(env, cwd, {
    ...(stateDir !== undefined && { stateDir }),
    ...(profile !== undefined && { profile }),
  });
  if (!holdsSqlite(places)) return null;
  const findNode = async () => {
    const { findHostNode } = await import('../openclaw/host-node.js');
    const uid = process.geteuid?.() ?? null;
    return (await findHostNode({ ...places, env, platform, uid }))?.path ?? null;
  };
  return { findNode };
}

/** This shell's variables without those that point into its own OpenClaw: another one is found as it lies. */
function elsewhere(env: Env): Env {
  const { OPENCLAW_STATE_DIR, OPENCLAW_CONFIG_PATH, OPENCLAW_AGENT_DIR, PI_CODING_AGENT_DIR, ...rest } = env;
  return rest;
}
