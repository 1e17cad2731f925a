import type { BundleDocument } from './documents.js';

/** What a person has to do before it leaves this machine. */
export const READ_FIRST = 'Read it before you paste it: you are the last to see what others will.';

/**
 * A bundle as Markdown, one fenced block for each part, so that it can be pasted whole. Every text in the document is a word of this
 * program, so that nothing in it can end a fence or reach a terminal.
 */
export function bundleText(document: BundleDocument): string {
  const { versions, vault, identities, host, layers, findings, switches, files, environment } = document;
  return [
    '# codex-router doctor --bundle',
    '',
    'No e-mail, id, name, path or token is in this. "identity 1" and the like mean somebody in this report only,',
    'in the order of `codex-router list`.',
    ...part('versions', rows(Object.entries(versions))),
    ...part(
      'vault',
      rows([
        ['state', vault.state],
        ['keys', vault.keys.join(', ') || 'none'],
        ['index', vault.index],
      ]),
    ),
    ...part(
      'identities',
      identities.map(({ identity, ...about }) => `${identity}: ${facts(about)}`),
    ),
    ...part('OpenClaw', hostLines(host)),
    ...part('layers', [
      ...trouble(layers.error),
      ...(layers.symptom === null ? [] : [`symptom: ${layers.symptom}`]),
      ...layers.layers.map(
        ({ layer, verdict, cause, identity }) =>
          `${layer.padEnd(10)}${verdict.padEnd(11)}${identity}${cause === 'none' ? '' : `, ${cause}`}`,
      ),
    ]),
    ...part('findings', [
      ...trouble(findings.error),
      ...findings.findings.map(
        ({ code, part: of, danger, isMendable }) =>
          `${code} (${of})${danger ? ', danger' : ''}${isMendable ? ', --fix mends it' : ''}`,
      ),
    ]),
    ...part('switches', [
      ...trouble(switches.error),
      `${switches.count} in the journal`,
      ...switches.last.map(
        ({ kind, step, from, to, pins, age }) =>
          `${kind.toLowerCase()} ${from} -> ${to}, ${step}, ${pins} ${pins === 1 ? 'pin' : 'pins'}, ${age}`,
      ),
    ]),
    ...part('files of codex-router', [
      ...files.unreadable.map((code) => `unreadable: ${code}`),
      ...files.groups.map(
        ({ role, kind, mode, count, bytes }) => `${role}: ${count} ${kind}, ${mode}, ${bytes} bytes`,
      ),
    ]),
    ...part('variables that are set', environment),
    '',
    READ_FIRST,
  ].join('\n');
}

function hostLines({ error, found, slots, sessions }: BundleDocument['host']): readonly string[] {
  if (found === null) return trouble(error);
  const { agents, stores, locks, reasons, notes, ...about } = found;
  return [
    ...trouble(error),
    ...rows(Object.entries(about).map(([name, value]) => [name, String(value)])),
    ...rows([
      ['reasons', reasons.join(' ') || 'none'],
      ['notes', notes.join(' ') || 'none'],
    ]),
    ...agents.map(({ agent, ...rest }) => `${agentText(agent)}: ${facts(rest)}`),
    ...stores.map(({ path, ...rest }) => `store ${path}: ${facts(rest)}`),
    ...locks.map(({ path, kind }) => `a switch locks ${path}: ${kind}`),
    ...slots.map(({ agent, order, neighbours, ...rest }) => {
      const beside = neighbours.map(({ profile, holds }) => `${profile} (${holds})`).join(', ') || 'none';
      return `slot of ${agentText(agent)}: ${facts(rest)}, order ${order?.join(' > ') ?? 'none'}, beside it ${beside}`;
    }),
    ...sessions.flatMap(({ agent, error: unread, kinds }) => [
      ...trouble(unread),
      ...kinds.map(
        ({ kind, channel, pinned, count }) =>
          `sessions of ${agentText(agent)}: ${count} ${kind}, channel ${channel}, pinned to ${pinned}`,
      ),
    ]),
  ];
}

/** `agent main`, `agent 1` */
function agentText(agent: string): string {
  return agent.startsWith('agent ') ? agent : `agent ${agent}`;
}

function part(title: string, lines: readonly string[]): readonly string[] {
  const inside = lines.length === 0 ? ['none'] : lines;
  return ['', `## ${title}`, '', '```text', ...inside, '```'];
}

function rows(pairs: readonly (readonly [string, string])[]): readonly string[] {
  return pairs.map(([name, value]) => `${name.padEnd(14)}${value}`);
}

function facts(about: { readonly [name: string]: unknown }): string {
  return Object.entries(about)
    .filter(([, value]) => value !== null && value !== 'none')
    .map(([name, value]) => (name === 'identity' ? `${value}` : `${name} ${value}`))
    .join(', ');
}

function trouble(code: string | null): readonly string[] {
  return code === null ? [] : [`could not be looked at: ${code}`];
}
