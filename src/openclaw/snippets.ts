import type { FoundHost } from '../slot/host.js';
import type { HostSnippets, Snippet, SnippetWishes } from '../slot/snippets.js';
import { shellWord } from '../text.js';
import { slotOf } from './layout.js';
import { compareVersions } from './release.js';

/** The first and the newest release whose commands were looked at, and the last that says `openai-codex`. */
const FIRST = '2026.2.26';
const NEWEST = '2026.9.6';
const LAST_BEFORE_RENAME = '2026.5.28';

/** What is known of the host where snippets are asked for; null where no OpenClaw was found. */
export type SnippetGround = Pick<FoundHost, 'release' | 'provider' | 'profileId' | 'stores'> | null;

/** Boundaries as the releases' own `--help` and docs tell them: 3.28, 5.7, 5.28, 6.1, 7.35, 8.1 and 9.6 were looked at. */
interface Era {
  readonly provider: string;
  readonly slotId: string;
  /** The scheduler runs a command by itself (7.35, not yet 6.1), and knows a job again by a key. */
  readonly cronCommand: boolean;
  /** `cron add --tools` (5.7, not yet 3.28). */
  readonly cronTools: boolean;
  readonly lightContext: boolean;
  /** A fallback answers one turn only (6.1); before, the session stays on it. */
  readonly fallbackForTurn: boolean;
}

/** The commands for this host's release; for an unknown one those of the newest known that has its provider. */
export function snippetsFor(ground: SnippetGround, wishes: SnippetWishes): HostSnippets {
  const release = ground?.release?.version ?? null;
  // A state directory without stores does not tell what its release calls the provider.
  const isTold = ground?.stores.some(({ state }) => state === 'used') ?? false;
  const { writtenFor, doubt } = writtenForOf(release, isTold ? (ground?.provider ?? null) : null);
  const era = eraOf(writtenFor, ground?.profileId ?? null);
  return {
    release,
    writtenFor,
    doubt,
    snippets: [orderOf(era, wishes), fallbacksOf(era, wishes), cronOf(era, wishes)],
  };
}

function writtenForOf(
  release: string | null,
  provider: string | null,
): Pick<HostSnippets, 'writtenFor' | 'doubt'> {
  const newest = provider === 'openai-codex' ? LAST_BEFORE_RENAME : NEWEST;
  if (release === null) {
    return {
      writtenFor: newest,
      doubt: `no OpenClaw package was found, so these are the commands of ${newest}`,
    };
  }
  const known = compareVersions(release, FIRST) >= 0 && compareVersions(release, NEWEST) <= 0;
  if (known) return { writtenFor: release, doubt: null };
  return {
    writtenFor: newest,
    doubt: `OpenClaw ${release} is not one that codex-router knows, so these are the commands of ${newest}`,
  };
}

function eraOf(version: string, profileId: string | null): Era {
  const from = (bound: string) => compareVersions(version, bound) >= 0;
  const provider = from('2026.6.1') ? 'openai' : 'openai-codex';
  return {
    provider,
    slotId: profileId?.startsWith(`${provider}:`) ? profileId : slotOf(provider),
    cronCommand: from('2026.7.35'),
    cronTools: from('2026.5.7'),
    lightContext: from('2026.3.28'),
    fallbackForTurn: from('2026.6.1'),
  };
}

function orderOf({ provider, slotId }: Era, { agent }: SnippetWishes): Snippet {
  const of = ['--provider', provider, ...agentWords(agent)];
  return {
    kind: 'order',
    title: "OpenClaw's own rotation stays on the slot",
    commands: [
      ['openclaw', 'models', 'auth', 'order', 'set', ...of, slotId],
      ['openclaw', 'secrets', 'reload'],
    ],
    undo: commandLine(['openclaw', 'models', 'auth', 'order', 'clear', ...of]),
    notes: [
      '"codex-router use" writes this order itself: run it where something else has changed it',
      'the second command has a running gateway read the order; without a gateway it fails, and is not needed',
      ...(provider === 'openai'
        ? ['an API key of the same provider may stand behind the slot: name it after the slot']
        : []),
    ],
    runs: null,
  };
}

function fallbacksOf({ provider, fallbackForTurn }: Era, { models }: SnippetWishes): Snippet {
  return {
    kind: 'fallbacks',
    title: 'OpenClaw answers with another model when the login in the slot is refused',
    commands: models.map((model) => ['openclaw', 'models', 'fallbacks', 'add', model]),
    undo: models.map((model) => commandLine(['openclaw', 'models', 'fallbacks', 'remove', model])).join('; '),
    notes: [
      'OpenClaw does this, codex-router never switches models',
      `name models that another provider than ${provider} serves: those of the same login meet the same limit`,
      fallbackForTurn
        ? 'the fallback answers the one turn; the next one begins with the chosen model again'
        : 'a session stays on the fallback until /new or /reset',
      'a session whose model a person chose with /model does not fall back',
    ],
    runs: null,
  };
}

function cronOf(era: Era, { agent, check, once }: SnippetWishes): Snippet {
  const add = ['openclaw', 'cron', 'add', '--name', 'codex-router failover', '--every', '10m'];
  const common = {
    kind: 'cron',
    undo: 'openclaw cron list; openclaw cron rm <id>',
  } as const;
  if (era.cronCommand) {
    return {
      ...common,
      title: 'every ten minutes OpenClaw runs codex-router failover once',
      commands: [
        [
          ...add,
          ...['--declaration-key', 'codex-router-failover', '--session', 'isolated', '--no-deliver'],
          ...['--timeout-seconds', '120', '--command-argv', JSON.stringify(once)],
        ],
      ],
      notes: [
        once.includes('--apply')
          ? 'it switches: --apply stands in the job because you asked for it here'
          : 'a dry run: it says what it would do and changes nothing until the job has --apply',
        'the gateway runs it as a program, without an agent and without a model call',
        'what it said: openclaw cron runs <id>; what codex-router did: codex-router failover log',
      ],
      runs: 'scheduler',
    };
  }
  return {
    ...common,
    title:
      'every ten minutes an agent of OpenClaw looks with codex-router failover check, and says what it found',
    commands: [
      [
        ...add,
        ...['--session', 'isolated', ...agentWords(agent)],
        ...(era.lightContext ? ['--light-context'] : []),
        ...(era.cronTools ? ['--tools', 'exec'] : []),
        ...['--timeout-seconds', '120', '--announce', '--best-effort-deliver', '--message', errandOf(check)],
      ],
    ],
    notes: [
      'this release has an agent run it, and agents may look and not switch: "codex-router failover unit" prints a service that can',
      'each look is a turn on the very login it looks at: where that one is refused, nothing is said',
      'the agent needs the exec tool for the gateway, by tools.exec of openclaw.json and your approvals',
    ],
    runs: 'agent',
  };
}

/** What the agent is told to do; it has nothing else to go by. */
function errandOf(check: readonly string[]): string {
  return [
    `Run this one command with the exec tool, as it stands: ${commandLine(check)}`,
    'It only looks. If it prints no planned change, answer NO_REPLY and nothing else.',
    'If it plans a change, say in one sentence which session would change, to whom, and why.',
    'Change nothing yourself, and run nothing else.',
  ].join(' ');
}

function agentWords(agent: string | null): readonly string[] {
  return agent === null ? [] : ['--agent', agent];
}

function commandLine(words: readonly string[]): string {
  return words.map(shellWord).join(' ');
}
