import * as z from 'zod';
import * as contract from '../../src/cli/contract.js';
import * as bundle from '../../src/cli/contract-bundle.js';
import * as chat from '../../src/cli/contract-chat.js';
import * as config from '../../src/cli/contract-config.js';
import * as doctor from '../../src/cli/contract-doctor.js';
import * as failover from '../../src/cli/contract-failover.js';
import * as failoverWatch from '../../src/cli/contract-failover-watch.js';
import * as hosts from '../../src/cli/contract-hosts.js';
import * as logins from '../../src/cli/contract-logins.js';
import * as plugin from '../../src/cli/contract-plugin.js';
import * as session from '../../src/cli/contract-session.js';
import * as switches from '../../src/cli/contract-switches.js';
import * as usage from '../../src/cli/contract-usage.js';

/** File name in docs/schemas -> the zod type it is made from. */
export const DOCUMENTS = {
  error: contract.ErrorDocument,
  use: switches.UseDocument,
  list: contract.ListDocument,
  status: contract.StatusDocument,
  host: contract.HostDocument,
  'host-adopt': contract.HostAdoptDocument,
  doctor: doctor.DoctorDocument,
  'doctor-undo': doctor.DoctorUndoDocument,
  'doctor-bundle': bundle.DoctorBundleDocument,
  alias: contract.AliasDocument,
  remove: contract.RemoveDocument,
  restore: contract.RestoreDocument,
  refresh: switches.RefreshDocument,
  sync: switches.SyncDocument,
  undo: switches.UndoDocument,
  'session-show': session.SessionShowDocument,
  'session-set': session.SessionDocument,
  'session-clear': session.SessionDocument,
  history: switches.HistoryDocument,
  import: contract.ImportDocument,
  eject: hosts.EjectDocument,
  uninstall: hosts.UninstallDocument,
  login: logins.LoginDocument,
  add: logins.LoginDocument,
  'login-start': logins.LoginStartDocument,
  'login-finish': logins.LoginDocument,
  'login-status': logins.LoginStatusDocument,
  'login-cancel': logins.LoginCancelDocument,
  lend: logins.LendDocument,
  unlend: logins.UnlendDocument,
  logout: logins.LogoutDocument,
  export: logins.ExportDocument,
  usage: usage.UsageDocument,
  'usage-history': usage.UsageHistoryDocument,
  explain: doctor.ExplainDocument,
  chat: chat.ChatDocument,
  'chat-error': chat.ChatErrorDocument,
  'chat-request': chat.ChatRequest,
  'vault-status': contract.VaultStatusDocument,
  'vault-init': contract.VaultInitDocument,
  'vault-rekey': contract.VaultKeysDocument,
  'vault-add-key': contract.VaultKeysDocument,
  'config-get': config.ConfigDocument,
  'config-set': config.ConfigDocument,
  'config-path': config.ConfigDocument,
  'config-snippet': config.ConfigSnippetDocument,
  'failover-check': failover.FailoverRoundDocument,
  'failover-once': failover.FailoverRoundDocument,
  'failover-leave': failover.FailoverLeaveDocument,
  'failover-watch': failoverWatch.FailoverWatchDocument,
  'failover-log': failoverWatch.FailoverLogDocument,
  'failover-status': failoverWatch.FailoverStatusDocument,
  'failover-stop': failoverWatch.FailoverStopDocument,
  'failover-unit': failoverWatch.FailoverUnitDocument,
  'plugin-path': plugin.PluginDocument,
  'plugin-snippet': plugin.PluginDocument,
} as const;

/** The text of docs/schemas/<name>.json as it must be. */
export function schemaText(name: keyof typeof DOCUMENTS): string {
  const schema = z.toJSONSchema(DOCUMENTS[name], { target: 'draft-2020-12' });
  return `${JSON.stringify({ title: `codex-router ${name} --json`, ...schema }, null, 2)}\n`;
}

/** Why `document` is not what `codex-router <args>` promises to print; null when it is. */
export function complaint(args: readonly string[], document: unknown, ok: boolean): string | null {
  const words = args.filter((arg) => !arg.startsWith('-'));
  const [first = '', second] = words;
  const isInGroup =
    first === 'vault' ||
    first === 'failover' ||
    first === 'config' ||
    first === 'plugin' ||
    first === 'session' ||
    (first === 'host' && second === 'adopt') ||
    (first === 'login' && ['start', 'finish', 'status', 'cancel'].includes(second ?? ''));
  const isBundle = first === 'doctor' && args.includes('--bundle');
  const isMendUndo = first === 'doctor' && args.includes('--undo');
  const isHistory = first === 'usage' && args.includes('--history');
  const command = isBundle
    ? 'doctor-bundle'
    : isMendUndo
      ? 'doctor-undo'
      : isHistory
        ? 'usage-history'
        : isInGroup
          ? `${first}-${second}`
          : first;
  const failure = first === 'chat' ? 'chat-error' : 'error';
  const name = ok ? names.find((candidate) => candidate === command) : failure;
  if (name === undefined) return `there is no schema for ${command}`;
  const { error } = DOCUMENTS[name].safeParse(document);
  return error === undefined ? null : z.prettifyError(error);
}

export const names = Object.keys(DOCUMENTS).filter(
  (name): name is keyof typeof DOCUMENTS => name in DOCUMENTS,
);
