import { RouterError } from '../errors.js';
import { KEY_KIND_NAME, type KeyKind, type KeySurroundings, parseKeyKind } from './key-kind.js';

/** A first run: the person, or the script, decides where the key lives; codex-router never does so silently. */
export interface FirstRun {
  /** `--key`; null: CODEX_ROUTER_KEY, else the keychain if it works, else the question. */
  readonly key: KeyKind | null;
  /** Returns one of `choices`' values. Called on a terminal only. */
  readonly ask: (question: string, choices: readonly Choice[]) => Promise<string>;
}

export interface Choice {
  readonly value: string;
  readonly label: string;
}

/**
 * Where a new vault's key will live: what was asked for; else the keychain if it proves usable; else a person
 * is asked. Never from one source to another by itself.
 * @throws KEY_CHOICE_NEEDED without a terminal, naming the choices and why the keychain is out; USAGE for an unknown kind.
 */
export async function chooseKey(deps: KeySurroundings, first: FirstRun): Promise<KeyKind> {
  if (first.key !== null) return first.key;
  const asked = deps.env.CODEX_ROUTER_KEY;
  if (asked) return parseKeyKind(asked, 'CODEX_ROUTER_KEY');
  let trouble: RouterError;
  try {
    await deps.keychain.probe();
    return 'keychain';
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    trouble = error;
  }
  if (!deps.isTerminal) {
    throw new RouterError(
      'KEY_CHOICE_NEEDED',
      `the vault's key has no place yet: ${trouble.message} (${trouble.code})`,
      {
        hint: 'mend that, or choose with --key file, --key passphrase or --key credential (or CODEX_ROUTER_KEY)',
        cause: trouble,
      },
    );
  }
  const answer = await first.ask(`${trouble.message}. Where shall the vault's key live?`, [
    { value: 'file', label: `${KEY_KIND_NAME.file}, readable by you only, outside the vault's folder` },
    { value: 'passphrase', label: `${KEY_KIND_NAME.passphrase} that you type each time` },
    { value: 'stop', label: 'nowhere yet: stop here and mend the keychain first' },
  ]);
  if (answer === 'file' || answer === 'passphrase') return answer;
  throw new RouterError(trouble.code, trouble.message, {
    hint: trouble.hint ?? 'run the command again',
    cause: trouble,
  });
}
