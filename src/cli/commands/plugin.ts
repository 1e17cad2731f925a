import { join } from 'node:path';
import type { Cli } from '../cli.js';
import { DONE, type PluginDocument } from '../documents.js';

/** `codex-router plugin path` */
export async function runPluginPath(cli: Cli, options: { readonly program?: boolean }): Promise<void> {
  const document = documentOf([]);
  cli.print(document, () => (options.program === true ? document.program : document.path));
}

/** `codex-router plugin snippet` */
export async function runPluginSnippet(
  cli: Cli,
  { sender = [] }: { readonly sender?: string[] },
): Promise<void> {
  const document = documentOf(sender);
  cli.print(document, () => JSON.stringify(document.snippet, null, 2));
}

/** Both lie in the folder of the built program, which is where this runs. */
function documentOf(senders: readonly string[]): PluginDocument {
  const folder = import.meta.dirname;
  const program = join(folder, 'codex-router.js');
  const config = { program, ...(senders.length === 0 ? {} : { allowSenders: ['owner', ...senders] }) };
  return {
    ...DONE,
    path: join(folder, 'plugin'),
    program,
    snippet: { plugins: { entries: { 'codex-router': { enabled: true, config } } } },
  };
}
