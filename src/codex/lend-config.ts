import { join } from 'node:path';
import { RouterError } from '../errors.js';
import type { Identity } from '../identity.js';
import { readConfig } from './config.js';

/**
 * Refuses a Codex home whose config.toml would ignore, move or delete what is lent to it: 0.169 deletes an auth.json, whole logins
 * included, that `forced_login_method` or `forced_chatgpt_workspace_id` rules out, and reads none with a store that is no file (measured).
 *
 * Not seen: what only a profile of that file, a managed configuration or the command line sets.
 * @throws PLATFORM_UNSUPPORTED, IDENTITY_UNEXPECTED, IO
 */
export async function admitConfig(folder: string, { accountId }: Identity): Promise<void> {
  const path = join(folder, 'config.toml');
  const config = await readConfig(folder);
  const { cli_auth_credentials_store: store = 'file', forced_login_method: method = 'chatgpt' } = config;
  if (store !== 'file') {
    throw new RouterError(
      'PLATFORM_UNSUPPORTED',
      `${path} keeps the login of Codex in a store that is no file (cli_auth_credentials_store), and only to a file can be lent`,
      {
        hint: 'lend to another folder: CODEX_HOME=<folder> codex-router lend ..., then CODEX_HOME=<folder> codex',
      },
    );
  }
  if (method !== 'chatgpt') {
    throw new RouterError(
      'PLATFORM_UNSUPPORTED',
      `${path} allows no ChatGPT login (forced_login_method): Codex would delete what is lent to it`,
      { hint: 'lend to another folder: CODEX_HOME=<folder> codex-router lend ...' },
    );
  }
  const allowed = [config.forced_chatgpt_workspace_id ?? []].flat();
  if (allowed.length > 0 && !allowed.includes(accountId)) {
    throw new RouterError(
      'IDENTITY_UNEXPECTED',
      `${path} allows other workspaces only (forced_chatgpt_workspace_id): Codex would delete what is lent to it`,
      { hint: 'lend to another folder: CODEX_HOME=<folder> codex-router lend ...' },
    );
  }
}
