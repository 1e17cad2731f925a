import type { RouterError } from '../errors.js';
import type { Env } from '../os/folders.js';
import type { House } from '../repo/house.js';
import { HOUSE_ROLES } from '../repo/house-files.js';
import type { SwitchRecord } from '../repo/journal.js';
import { KEY_KINDS } from '../repo/key-kind.js';
import { DOUBTS, type IndexEntry, SOURCES } from '../repo/repo.js';
import type { FoundHost, Host } from '../slot/host.js';
import { bundledHost } from './bundle-host.js';
import {
  ageWord,
  codeWord,
  errorWord,
  modeWord,
  oneOf,
  type Pseudonyms,
  planWord,
  pseudonyms,
  versionWord,
  type Word,
} from './bundle-words.js';
import type { Explanation } from './explain.js';
import { CAUSES, LAYERS, SYMPTOMS, VERDICTS } from './explain-layers.js';
import { type Finding, PARTS } from './finding.js';
import { FINDING_CODES } from './finding-codes.js';

/** What came of looking: what was seen, or why nothing was. */
export type Seen<T> = { readonly seen: T } | { readonly error: unknown };

/** As it is on this machine; all of it may be private. */
export interface BundleDeps {
  readonly versions: {
    readonly codexRouter: string;
    readonly node: string;
    readonly kernel: string | null;
    readonly libc: string | null;
    readonly distribution: string | null;
  };
  readonly platform: string;
  readonly arch: string;
  readonly env: Env;
  readonly house: House;
  readonly entries: Seen<readonly IndexEntry[]>;
  /** Why the vault cannot be opened; null when it can. */
  readonly failure: unknown;
  readonly journal: Seen<readonly SwitchRecord[]>;
  readonly found: Seen<FoundHost>;
  readonly host: Seen<Host | null>;
  readonly explanation: Seen<Explanation | null>;
  /** `error`: why not all was looked at; null when it was. */
  readonly findings: { readonly seen: readonly Finding[]; readonly error: unknown };
  /** ms epoch */
  readonly now: number;
}

/**
 * A report on this machine in which nothing names anybody: made of words of this program, numbers, ages, and pseudonyms that mean
 * something in this report only.
 */
export async function makeBundle(deps: BundleDeps) {
  const names = pseudonyms();
  const entries = 'seen' in deps.entries ? deps.entries.seen : [];
  // In the order of the list, so that the person can tell who is meant.
  const identities = entries.map((entry) => bundledIdentity(entry, names, deps.now));
  return {
    versions: bundledVersions(deps),
    vault: {
      state: deps.failure === null ? codeWord('OPEN', STATES) : errorWord(deps.failure),
      keys: (deps.house.unlockers ?? []).map(({ kind }) => oneOf(KEY_KINDS, kind)),
      index: 'seen' in deps.entries ? codeWord('READ', STATES) : errorWord(deps.entries.error),
    },
    identities,
    host: await bundledHost(deps, names),
    layers: bundledLayers(deps, names),
    findings: bundledFindings(deps),
    switches: bundledSwitches(deps, names),
    files: bundledFiles(deps.house),
    environment: VARIABLES.filter((name) => (deps.env[name] ?? '') !== ''),
  };
}

const STATES = ['OPEN', 'READ'];

function bundledVersions({ versions, platform, arch }: BundleDeps) {
  return {
    codexRouter: versionWord(versions.codexRouter),
    node: versionWord(versions.node),
    platform: oneOf(['linux', 'darwin', 'win32', 'freebsd', 'openbsd', 'android', 'sunos', 'aix'], platform),
    arch: oneOf(['x64', 'arm64', 'arm', 'ia32', 'ppc64', 's390x', 'riscv64', 'loong64', 'mips64el'], arch),
    kernel: versionWord(/^\d+\.\d+(?:\.\d+)?/.exec(versions.kernel ?? '')?.[0] ?? null),
    libc: versionWord(versions.libc),
    distribution: oneOf(DISTRIBUTIONS, versions.distribution),
  };
}

// biome-ignore format: words, as many in a line as it holds
const DISTRIBUTIONS = [
  'debian', 'ubuntu', 'fedora', 'arch', 'alpine', 'nixos', 'rhel', 'centos', 'rocky', 'almalinux', 'amzn',
  'opensuse-leap', 'opensuse-tumbleweed', 'linuxmint', 'pop', 'manjaro', 'raspbian', 'gentoo', 'void', 'kali',
];

function bundledIdentity(entry: IndexEntry, names: Pseudonyms, now: number) {
  const { identity, doubt, source, verified, sharedWith, lent, placement, expiresAt, updatedAt } = entry;
  return {
    identity: names.identity(identity),
    plan: planWord(identity.plan),
    source: oneOf(SOURCES, source),
    verified,
    doubt: oneOf(DOUBTS, doubt),
    shared: sharedWith !== null,
    lent: oneOf(['access', 'grant'], lent?.what),
    placed: placement === null ? null : ageWord(placement.at, now),
    expires: ageWord(expiresAt, now),
    stored: ageWord(updatedAt, now),
  };
}

function bundledLayers({ explanation }: BundleDeps, names: Pseudonyms) {
  if ('error' in explanation) return { error: errorWord(explanation.error), symptom: null, layers: [] };
  const layers = explanation.seen?.layers ?? [];
  const symptom = explanation.seen?.symptom ?? null;
  return {
    error: null,
    symptom: symptom === null ? null : oneOf(SYMPTOMS, symptom),
    layers: layers.map(({ layer, verdict, cause, identity }) => ({
      layer: oneOf(LAYERS, layer),
      verdict: oneOf(VERDICTS, verdict),
      cause: oneOf(CAUSES, cause),
      identity: names.identity(identity),
    })),
  };
}

function bundledFindings({ findings }: BundleDeps) {
  return {
    error: findings.error === null ? null : errorWord(findings.error),
    findings: findings.seen.map(({ code, part, danger, mend }) => ({
      code: codeWord(code, FINDING_CODES),
      part: oneOf(PARTS, part),
      danger,
      isMendable: mend !== null,
    })),
  };
}

const KINDS = ['USE', 'CLEAR', 'UNDO'];
const STEPS = ['begun', 'swapped', 'applied', 'done', 'abandoned'];

function bundledSwitches({ journal, now }: BundleDeps, names: Pseudonyms) {
  if ('error' in journal) return { error: errorWord(journal.error), count: 0, last: [] };
  return {
    error: null,
    count: journal.seen.length,
    last: journal.seen.slice(-10).map(({ step, from, to, at, pins, undoes }) => ({
      kind: codeWord(undoes !== null ? 'UNDO' : to === null ? 'CLEAR' : 'USE', KINDS),
      step: oneOf(STEPS, step),
      from: names.identity(from),
      to: names.identity(to),
      pins: pins.length,
      age: ageWord(at, now),
    })),
  };
}

/** One line for each kind of file, kind of thing and mode. */
function bundledFiles({ parts, troubles }: House) {
  const groups = new Map<string, { role: Word; kind: Word; mode: Word; count: number; bytes: number }>();
  for (const { role, kind, mode, size } of parts) {
    const key = `${role} ${kind} ${mode}`;
    const group = groups.get(key) ?? {
      role: oneOf(HOUSE_ROLES, role),
      kind: oneOf(['file', 'folder', 'link', 'other'], kind),
      mode: modeWord(mode),
      count: 0,
      bytes: 0,
    };
    groups.set(key, { ...group, count: group.count + 1, bytes: group.bytes + (kind === 'file' ? size : 0) });
  }
  return { groups: [...groups.values()], unreadable: troubles.map((error: RouterError) => errorWord(error)) };
}

/** Variables that change what codex-router does; whether they are set, never to what. */
// biome-ignore format: words, as many in a line as it holds
const VARIABLES = [
  'CODEX_ROUTER_HOME', 'CODEX_ROUTER_KEY', 'CODEX_ROUTER_KEY_FILE', 'CODEX_ROUTER_PASSPHRASE_FILE',
  'CODEX_ROUTER_SESSION_KEY', 'CODEX_ROUTER_TEST_ISSUER', 'CODEX_HOME', 'OPENCLAW_HOME', 'OPENCLAW_STATE_DIR',
  'OPENCLAW_CONFIG_PATH', 'OPENCLAW_AGENT_DIR', 'PI_CODING_AGENT_DIR', 'OPENCLAW_SHELL',
  'OPENCLAW_CHANNEL_CONTEXT', 'OPENCLAW_GATEWAY_TOKEN', 'OPENCLAW_GATEWAY_PASSWORD', 'XDG_DATA_HOME',
  'XDG_CONFIG_HOME', 'XDG_RUNTIME_DIR', 'DBUS_SESSION_BUS_ADDRESS', 'CREDENTIALS_DIRECTORY', 'HTTP_PROXY',
  'HTTPS_PROXY', 'NO_PROXY', 'http_proxy', 'https_proxy', 'no_proxy', 'NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE',
  'NODE_OPTIONS', 'NO_COLOR', 'DISPLAY', 'WAYLAND_DISPLAY', 'SSH_CONNECTION', 'SUDO_USER', 'WSL_DISTRO_NAME',
];
