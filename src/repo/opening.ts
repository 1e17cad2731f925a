import { RouterError } from '../errors.js';
import { repoFiles } from './files.js';
import type { FirstRun } from './first-run.js';
import { readTextOrNull } from './format.js';
import { recordNames } from './index.js';
import { KEY_KIND_NAME } from './key-kind.js';
import type { Vault, VaultDeps } from './vault.js';
import { vaultPath } from './vault-path.js';

export interface RepoDeps extends VaultDeps {
  /** How `open()` makes the vault when there is none; null for a command that stores nothing: VAULT_MISSING. */
  readonly firstRun: FirstRun | null;
}

/**
 * Opens the vault, or makes it on a first run that may. The keychain's child is started before anything else is loaded.
 * @throws VAULT_MISSING, VAULT_DAMAGED when sealed identities lie there without vault.json; as `openVault` and `chooseKey`.
 */
export async function openOrInit(deps: RepoDeps): Promise<Vault> {
  const text = await readTextOrNull(vaultPath(deps.folders));
  if (text === null) return firstRun(deps);
  if (namesKeychainFirst(text)) deps.keychain.warm();
  try {
    const [{ openVault }, { parseVaultFile }] = await Promise.all([
      import('./vault.js'),
      import('./vault-file.js'),
    ]);
    return await openVault(deps, parseVaultFile(text, vaultPath(deps.folders)));
  } finally {
    deps.keychain.close();
  }
}

/** Starts the keychain's child if the vault names the keychain, so that it runs beside what comes before `openOrInit`. */
export async function warmKeychain(deps: VaultDeps): Promise<void> {
  const text = await readTextOrNull(vaultPath(deps.folders));
  if (text !== null && namesKeychainFirst(text)) deps.keychain.warm();
}

async function firstRun(deps: RepoDeps): Promise<Vault> {
  await refuseOrphans(deps);
  if (deps.firstRun === null) {
    throw new RouterError('VAULT_MISSING', 'there is no vault yet', {
      hint: 'codex-router login, or codex-router import',
    });
  }
  const [{ chooseKey }, { initVault }] = await Promise.all([import('./first-run.js'), import('./vault.js')]);
  const kind = await chooseKey(deps, deps.firstRun);
  const { vault, file } = await initVault(deps, { kind, keyFile: null });
  for (const made of file.unlockers) {
    const where = made.kind === 'file' ? `: ${made.path}` : '';
    deps.say(`made a vault in ${deps.folders.data}; its key: ${KEY_KIND_NAME[made.kind]}${where}`);
  }
  return vault;
}

/** A new key over existing records would lose them. @throws VAULT_DAMAGED */
export async function refuseOrphans(deps: VaultDeps): Promise<void> {
  const files = repoFiles(deps.folders.data);
  const records = (await recordNames(files)).length;
  if (records === 0 && (await readTextOrNull(files.index)) === null) return;
  throw new RouterError(
    'VAULT_DAMAGED',
    `vault.json is missing beside what it sealed (${records} identities)`,
    {
      hint: `put vault.json back into ${deps.folders.data} from a backup; no new key was made`,
    },
  );
}

/** A glance that costs nothing: whether a child is needed. The real parse, with its refusals, follows. */
function namesKeychainFirst(text: string): boolean {
  return /"unlockers":\s*\[\s*\{\s*"kind":\s*"keychain"/.test(text);
}
