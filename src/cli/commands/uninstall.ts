import { RouterError } from '../../errors.js';
import { lookAtLock } from '../../os/found-lock.js';
import { requireReplacing } from '../../os/platform.js';
import { arrivingLoginsIn } from '../../repo/arriving-logins.js';
import { chatLoginsIn } from '../../repo/chat-logins.js';
import { heldChatLogins } from '../../router/chat-login-left.js';
import { candidateOf } from '../../router/resolve.js';
import { previewUninstall, type Uninstall, type UninstallDeps, uninstall } from '../../router/uninstall.js';
import { showText } from '../../text.js';
import { hostOrNull, switchDeps, writeDeps } from '../adapt.js';
import type { Cli } from '../cli.js';
import { compose, type Parts } from '../compose.js';
import { confirm } from '../confirm.js';
import { DONE, type UninstallDocument } from '../documents.js';
import type { HostOptions } from '../options.js';
import { ejectDocument, lines as ejectLines } from './eject.js';

export interface UninstallOptions extends HostOptions {
  readonly yes?: boolean;
  readonly dryRun?: boolean;
}

/** `codex-router uninstall`: ejects, then removes all that codex-router ever made. Previews, asks, refuses to lose a login. */
export async function runUninstall(cli: Cli, options: UninstallOptions): Promise<void> {
  requireReplacing(cli.platform);
  const parts = compose(cli, options);
  const deps = await uninstallDeps(cli, parts);
  const planned = documentOf(await previewUninstall(deps));
  if (options.dryRun || planned.result === 'nothing-here') {
    return cli.print(planned, () => preview(planned).join('\n'));
  }
  await refuseBesideWatch(parts);
  // Nobody is asked about what is then refused.
  if (!options.yes && planned.stops.length === 0) {
    await confirm(cli, {
      preview: preview(planned),
      question: 'Remove all of it?',
      what: 'an uninstall',
      declined: 'nothing was removed',
      look: 'codex-router uninstall --dry-run',
    });
  }
  const document = documentOf(await uninstall(deps));
  cli.print(document, () => `codex-router has left nothing behind but its program: ${PACKAGE}`);
  if (!cli.json) for (const line of [...leaves(document), ...notesOf(document)]) cli.say(line);
}

const PACKAGE = 'npm uninstall -g codex-router';

/** It would go on with a vault that is gone. @throws BUSY */
async function refuseBesideWatch({ folders }: Parts): Promise<void> {
  const { watchLockIn } = await import('../../os/lock.js');
  const found = await lookAtLock(watchLockIn(folders.data));
  if (found?.kind !== 'alive') return;
  throw new RouterError('BUSY', `a failover watch runs: process ${found.pid}`, {
    hint: 'codex-router failover stop, or stop its service; then run the command again',
  });
}

async function uninstallDeps(cli: Cli, parts: Parts): Promise<UninstallDeps> {
  const { repo, repoDeps, outside, hostAt, journal } = parts;
  const [table, vault] = await Promise.all([
    import('../../os/belongings.js'),
    import('../../repo/vault-removal.js'),
  ]);
  return {
    ...writeDeps(cli, parts),
    repo,
    open: parts.openRepo,
    host: await hostOrNull(parts),
    homes: await parts.codexHomes(),
    ejectDeps: (host) => switchDeps(cli, parts, host),
    outside,
    hostAt,
    journal,
    unfinishedAdds: async () => {
      const left = await (await parts.isolatedLogins()).left();
      return left.flatMap(({ state, folder }) => (state === 'empty' ? [] : [folder]));
    },
    unfinishedLogins: async () => [
      ...(await arrivingLoginsIn(parts.folders.data, cli.now).all()),
      ...(await heldChatLogins({ logins: chatLoginsIn(parts.folders.data) })),
    ],
    belongings: (stateDirs) => table.belongings(cli.env, cli.platform, stateDirs),
    removeBelonging: ({ path }) => table.removeTree(path),
    remains: () => vault.lookAtRemains(repoDeps),
    removeRemains: async () => {
      try {
        await vault.removeRemains(repoDeps);
      } finally {
        repoDeps.keychain.close();
      }
    },
    removeFolders: () => vault.removeFolders(repoDeps),
  };
}

function documentOf({
  result,
  eject,
  stops,
  others,
  outside,
  remains,
  identities,
  notes,
}: Uninstall): UninstallDocument {
  const shown = eject === null ? null : ejectDocument('', eject, []);
  return {
    ...DONE,
    result,
    eject: shown && { slot: shown.slot, occupant: shown.occupant, added: shown.added, there: shown.there },
    stops: stops.map(({ entry, ...stop }) => ({ identity: entry && candidateOf(entry), ...stop })),
    removes: [
      ...others.map((what) => ({ kind: 'owner-file' as const, what })),
      ...outside.map(({ kind, path }) => ({ kind, what: path })),
      ...remains.removes.map((one) => ({ ...one })),
    ],
    leaves: [...remains.leaves],
    identities,
    backUps: remains.backUps,
    notes: [...(eject?.notes ?? []), ...notes],
  };
}

const KIND: { readonly [kind in UninstallDocument['removes'][number]['kind']]: string } = {
  'owner-file': 'our owner file in the OpenClaw in',
  plugin: 'the OpenClaw plugin',
  service: 'the service',
  completion: 'the shell completion',
  data: 'the file',
  'key-file': 'the key file',
  'keychain-item': 'the keychain item',
  vault: 'the vault',
  folder: 'the folder',
};

function preview(document: UninstallDocument): string[] {
  const { result, eject, stops, removes, identities, backUps } = document;
  if (result === 'nothing-here')
    return ['there is nothing of codex-router here to remove', `  program   ${PACKAGE}`];
  const data = removes.filter(({ kind }) => kind === 'data').length;
  const others = removes.filter(({ kind }) => kind !== 'data');
  return [
    'will remove codex-router from this machine',
    ...(eject === null ? [] : ['  first     OpenClaw is given every login, as codex-router eject does']),
    ...(eject === null ? [] : ejectLines({ ...eject, left: [] })),
    ...stops.map(
      ({ what, why, remedy }) =>
        `  refused   ${showText(what, 200)}: ${showText(why, 200)}; ${showText(remedy, 200)}`,
    ),
    ...(identities > 0
      ? [`  forgets   ${identities} stored identities; nothing is revoked at the issuer`]
      : []),
    ...(backUps > 0 ? [`  loses     ${backUps} sealed back-up(s) of logins that gave way to others`] : []),
    ...(data > 0 ? [`  removes   ${data} file(s) of codex-router's own`] : []),
    ...others.map(({ kind, what }) => `  removes   ${KIND[kind]} ${showText(what, 200)}`),
    ...leaves(document),
    `  program   stays: ${PACKAGE}`,
    ...notesOf(document),
  ];
}

function leaves({ leaves: left }: UninstallDocument): string[] {
  return left.map((path) => `  leaves    ${showText(path, 200)}, which is not ours`);
}

function notesOf({ notes }: UninstallDocument): string[] {
  return notes.map(({ text }) => `  note      ${showText(text, 300)}`);
}
