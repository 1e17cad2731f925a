import { requireReplacing } from '../../os/platform.js';
import { type Adoption, adopt, planAdoption } from '../../router/adopt.js';
import { candidateOf } from '../../router/resolve.js';
import { showText } from '../../text.js';
import { writeDeps } from '../adapt.js';
import type { Cli } from '../cli.js';
import { compose } from '../compose.js';
import { confirm } from '../confirm.js';
import { DONE, type HostAdoptDocument } from '../documents.js';
import type { HostOptions } from '../options.js';
import { phrase } from '../people.js';

export interface AdoptOptions extends HostOptions {
  readonly yes?: boolean;
  readonly dryRun?: boolean;
}

/** `codex-router host adopt`: makes this vault the one that routes an OpenClaw. Previews, asks, and says whom it touched. */
export async function runAdopt(cli: Cli, options: AdoptOptions): Promise<void> {
  requireReplacing(cli.platform);
  const parts = compose(cli, options, options.dryRun !== true);
  const host = await parts.besideKeychain(parts.host);
  const repo = await parts.openRepo();
  const deps = { ...writeDeps(cli, parts), host };
  const { stateDir } = host.summary;
  const planned = await planAdoption(deps, repo);
  if (options.dryRun || planned.was === 'ours') {
    const document = documentOf(stateDir, planned, planned.was === 'ours' ? 'unchanged' : 'planned');
    return cli.print(document, () => preview(document).join('\n'));
  }
  if (!options.yes) {
    await confirm(cli, {
      preview: preview(documentOf(stateDir, planned, 'planned')),
      question: 'Take it over?',
      what: 'taking over a host',
      declined: 'nothing was taken over',
      look: 'codex-router host',
    });
  }
  const document = documentOf(stateDir, await adopt(deps, repo), 'adopted');
  cli.print(document, () => `this codex-router routes the OpenClaw in ${showText(stateDir, 200)} now`);
  if (!cli.json) for (const line of touched(document, 'was')) cli.say(line);
}

function documentOf(
  stateDir: string,
  { was, owner, checkedIn, doubted, notes }: Adoption,
  result: HostAdoptDocument['result'],
): HostAdoptDocument {
  return {
    ...DONE,
    result,
    stateDir,
    was,
    ownerVault: owner?.vaultId ?? null,
    checkedIn: checkedIn.flatMap(({ identity, result: how }) =>
      how === 'unchanged' ? [] : [{ accountId: identity.accountId, userId: identity.userId, result: how }],
    ),
    doubted: doubted.map(candidateOf),
    notes: [...notes],
  };
}

const WAS: { readonly [was in HostAdoptDocument['was']]: string } = {
  nobody: 'no codex-router routes it yet',
  ours: 'this codex-router routes it already',
  other: 'another codex-router routes it: close that one down, or it will be refused from now on',
  ahead: 'a later state of this very vault has written there: stored logins may have been spent since',
  unreadable: 'the file that says which codex-router routes it cannot be understood: it may be another',
};

function preview(document: HostAdoptDocument): string[] {
  const { stateDir, was, result } = document;
  const first = `OpenClaw in ${showText(stateDir, 200)}: ${WAS[was]}`;
  return result === 'unchanged' ? [first] : [first, ...touched(document, 'would be')];
}

function touched({ checkedIn, doubted, notes }: HostAdoptDocument, verb: 'was' | 'would be'): string[] {
  return [
    ...checkedIn.map(({ accountId, result }) => `  check in  ${showText(accountId, 40)}: ${result}`),
    ...doubted.map(
      (person) =>
        `  doubted   ${phrase(person)}: ${verb} marked; codex-router login stores a new login of it`,
    ),
    ...notes.map(({ text }) => `  note      ${showText(text, 300)}`),
  ];
}
