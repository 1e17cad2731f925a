import { caam } from './caam.js';
import { codexAuth } from './codex-auth.js';
import { codexMultiAuth } from './codex-multi-auth.js';
import { codexMultipass } from './codex-multipass.js';
import { codexOauthProfiles } from './codex-oauth-profiles.js';
import type { ToolDeps } from './found.js';
import { ocCodexMultiAuth } from './oc-codex-multi-auth.js';

/** The stores of other tools that `import --from <tool>` reads; each implements the router's port LoginStore. */
export function toolStores(deps: ToolDeps) {
  return [
    codexOauthProfiles(deps),
    codexAuth(deps),
    codexMultiAuth(deps),
    ocCodexMultiAuth(deps),
    caam(deps),
    codexMultipass(deps),
  ];
}
