import { RouterError } from '../errors.js';
import { identityKey } from '../identity.js';
import { list } from '../router/list.js';
import { candidateOf } from '../router/resolve.js';
import type { Cli } from './cli.js';
import type { Parts } from './compose.js';
import { phrase } from './people.js';

/** Lets a person choose an identity; the key it returns is an exact selector. @throws CHOICE_NEEDED without a terminal. */
export async function pick(cli: Cli, parts: Parts, agent: string | null): Promise<string> {
  if (!cli.terminal.canAsk) {
    throw new RouterError('CHOICE_NEEDED', 'no identity was named, and there is no terminal to ask on', {
      hint: 'codex-router use <accountId>',
    });
  }
  const { identities } = await list(parts.repo, parts.host, agent);
  if (identities.length === 0) {
    throw new RouterError('IDENTITY_NOT_FOUND', 'no identity is stored yet', {
      hint: 'codex-router login',
    });
  }
  return cli.terminal.ask(
    'Which identity should OpenClaw use?',
    identities.map(({ entry, active }) => ({
      value: identityKey(entry.identity),
      label: phrase(candidateOf(entry)),
      ...(active ? { hint: 'active' } : {}),
    })),
  );
}
