import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** Every OpenClaw release the tests run for real, in calendar order. Each has a lock-filed folder under test/interop. */
export const EVERY_RELEASE = [
  '2026.2.26',
  '2026.3.28',
  '2026.4.23',
  '2026.5.7',
  '2026.5.12',
  '2026.5.28',
  '2026.6.1',
  '2026.6.11',
  '2026.7.35',
  '2026.8.1',
  '2026.9.1',
  '2026.9.6',
] as const;

export type Release = (typeof EVERY_RELEASE)[number];

const INTEROP = fileURLToPath(new URL('../interop/', import.meta.url));

/** Whether this run was asked for every release (`npm run test:interop -- --all`); then a missing one is a failure. */
export const everyReleaseAsked = process.env.TEST_EVERY_RELEASE === '1';

/**
 * The releases whose tests are registered: all of them with `--all`, else those of the fixed subset that CI installs too
 * (test/interop/subset.json). @throws when the folders and this table do not name the same releases.
 */
export function releasesToRun(): readonly Release[] {
  const folders = readdirSync(INTEROP)
    .filter((name) => existsSync(path.join(INTEROP, name, 'package-lock.json')))
    .flatMap((name) => (name.startsWith('openclaw-') ? [name.slice('openclaw-'.length)] : []));
  const unlike = [...EVERY_RELEASE, ...folders].filter(
    (release) => !folders.includes(release) || !(EVERY_RELEASE as readonly string[]).includes(release),
  );
  if (unlike.length > 0) throw new Error(`test/interop and releases.ts differ: ${unlike.join(', ')}`);
  const subset = parseSubset(JSON.parse(readFileSync(path.join(INTEROP, 'subset.json'), 'utf8')));
  return everyReleaseAsked
    ? EVERY_RELEASE
    : EVERY_RELEASE.filter((release) => subset.includes(`openclaw-${release}`));
}

function parseSubset(value: unknown): readonly string[] {
  if (!Array.isArray(value)) throw new Error('test/interop/subset.json is not a list');
  return value.map(String);
}

/** What a release is known for; the tests that run it prove each of these. */
export interface ReleaseTraits {
  readonly layout: 'json' | 'json+state' | 'sqlite-agent' | 'sqlite-shared';
  readonly provider: 'openai-codex' | 'openai';
  readonly slot: 'openai-codex:default' | 'openai:default';
  /** order, lastGood and usageStats lie in auth-state.json. */
  readonly stateFile: boolean;
  /** The stored login has `chatgptPlanType`. */
  readonly planField: boolean;
  /** A session entry has `sessionStartedAt` and `lastInteractionAt`. */
  readonly timedSessions: boolean;
  /** Tokens are moved into sealed side files (5.12). */
  readonly seals: boolean;
  /** Its state is the legacy input put through its own `doctor --fix`; else the input is what it writes itself. */
  readonly doctor: boolean;
  /** `models auth list --json`. */
  readonly authList: boolean;
  /** The call that makes a running gateway re-read; for docs/hosts.md, proved by the gateway tests. */
  readonly refreshCall: string;
}

/** Boundaries as in facts: openclaw-json.md section 0 and openclaw-sqlite.md section 1. */
export function traitsOf(release: Release): ReleaseTraits {
  const from = (bound: string) => order(release) >= order(bound);
  const renamed = from('2026.6.1');
  const sqlite = from('2026.6.5');
  return {
    layout: from('2026.8.1')
      ? 'sqlite-shared'
      : sqlite
        ? 'sqlite-agent'
        : from('2026.4.7')
          ? 'json+state'
          : 'json',
    provider: renamed ? 'openai' : 'openai-codex',
    slot: renamed ? 'openai:default' : 'openai-codex:default',
    stateFile: from('2026.4.7'),
    planField: from('2026.4.24'),
    timedSessions: from('2026.5.2'),
    seals: from('2026.5.8') && !from('2026.5.18'),
    doctor: from('2026.5.12'),
    authList: from('2026.5.4'),
    refreshCall: from('2026.9.5')
      ? '`models.authRefresh`'
      : renamed
        ? '`models.authStatus` with `refresh`'
        : from('2026.3.25') && !from('2026.4.5')
          ? '`openclaw secrets reload`'
          : '`secrets.reload`',
  };
}

/** Calendar order of two versions of the form `2026.5.12`. */
function order(version: string): number {
  return version.split('.').reduce((sum, part) => sum * 1000 + Number(part), 0);
}
