import { RouterError } from '../../errors.js';
import { setAlias } from '../../router/alias.js';
import { candidateOf, resolve } from '../../router/resolve.js';
import { showText } from '../../text.js';
import type { Cli } from '../cli.js';
import { compose } from '../compose.js';
import { type AliasDocument, DONE } from '../documents.js';
import { phrase } from '../people.js';

export interface AliasOptions {
  readonly remove?: boolean;
}

/** `codex-router alias <selector> [name]` */
export async function runAlias(
  cli: Cli,
  selector: string,
  name: string | undefined,
  options: AliasOptions,
): Promise<void> {
  if ((name === undefined) !== (options.remove === true)) {
    throw new RouterError('USAGE', 'give either a new alias or --remove', {
      hint: 'codex-router alias --help',
    });
  }
  const { repo, withLock } = compose(cli, {});
  const entry = await withLock(async () =>
    setAlias(repo, resolve(selector, await repo.list()), name ?? null),
  );
  const document: AliasDocument = {
    ...DONE,
    result: name === undefined ? 'removed' : 'set',
    identity: candidateOf(entry),
  };
  cli.print(document, () =>
    name === undefined
      ? `${phrase(document.identity)} has no alias now`
      : `${showText(name)} names ${phrase(document.identity)}`,
  );
}
