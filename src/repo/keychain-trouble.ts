import { type ErrorCode, RouterError } from '../errors.js';
import type { Env } from '../os/folders.js';
import type { KeychainOutcome } from './keychain-child.js';

export interface KeychainCircumstances {
  readonly env: Env;
  readonly platform: NodeJS.Platform;
  /** ms that the child was given */
  readonly deadline: number;
}

const ELSEWHERE =
  'where there is no desktop (cron, services, ssh) use a key file, a passphrase or a systemd credential';

/**
 * Why the keychain could not be used, as one sentence with its own code. Decided by what can be observed, not by the
 * library's text, which is translated and has no code; that text is only the `cause`.
 */
export async function explainKeychain(
  outcome: KeychainOutcome,
  about: KeychainCircumstances,
): Promise<RouterError> {
  if (outcome.stage === 'hung') return trouble('KEYCHAIN_HUNG', hungSentence(about.deadline));
  if (outcome.stage === 'crashed') {
    return trouble('KEYCHAIN_CRASHED', `the keychain library crashed (${outcome.how})`, outcome.how);
  }
  const text = outcome.stage === 'done' ? outcome.probe : outcome.text;
  if (outcome.stage === 'load')
    return trouble('KEYCHAIN_LIBRARY_MISSING', libraryMissing(about.platform), text);
  if (about.platform === 'linux') return explainSecretService(about, text);
  // macOS and Windows give no state to observe and keytar passes no code: locked, denied and dismissed look alike but for
  // the system's translated text.
  return trouble('KEYCHAIN_DENIED', 'the OS keychain refused: it is locked, or access was denied', text);
}

async function explainSecretService(about: KeychainCircumstances, text: string | null): Promise<RouterError> {
  const { observeSecretService } = await import('../os/session-bus.js');
  switch (await observeSecretService(about.env)) {
    case 'no-bus':
      return trouble('KEYCHAIN_NO_BUS', 'the keychain cannot be reached: there is no session bus here', text);
    case 'no-service':
      return trouble('KEYCHAIN_NO_SERVICE', 'no keychain service answers on the session bus', text);
    case 'no-collection':
      return trouble(
        'KEYCHAIN_LOCKED',
        'the keychain is locked: it was never set up or unlocked in this session',
        text,
      );
    case 'locked':
      // Also what is left after a person dismissed the unlock prompt: the service reports no difference.
      return trouble('KEYCHAIN_LOCKED', 'the keychain is locked', text);
    case 'unlocked':
      return trouble('KEYCHAIN_DENIED', 'the keychain is unlocked but denied access', text);
    case 'silent':
      return trouble('KEYCHAIN_HUNG', 'the keychain service is there but does not answer', text);
  }
}

const HINT: { readonly [code in ErrorCode]?: string } = {
  KEYCHAIN_NO_BUS: `run it inside your desktop session; ${ELSEWHERE}`,
  KEYCHAIN_NO_SERVICE: `start gnome-keyring, KeePassXC or KWallet; ${ELSEWHERE}`,
  KEYCHAIN_LIBRARY_MISSING: `install it (Debian: apt install libsecret-1-0; Fedora: dnf install libsecret); ${ELSEWHERE}`,
  KEYCHAIN_LOCKED: 'unlock your keyring and run the command again',
  KEYCHAIN_DENIED: 'allow codex-router (node) in the keychain and run the command again',
  KEYCHAIN_HUNG:
    'look for a keychain prompt waiting on the desktop, or restart the keychain service, then try again',
  KEYCHAIN_CRASHED: 'restart the keychain service and try again; nothing was changed',
};

function trouble(code: ErrorCode, message: string, cause: string | null = null): RouterError {
  return new RouterError(code, message, { hint: HINT[code] ?? 'run the command again', cause });
}

function hungSentence(deadline: number): string {
  return `the keychain did not answer within ${Math.round(deadline / 100) / 10} s`;
}

function libraryMissing(platform: NodeJS.Platform): string {
  return platform === 'linux'
    ? 'the keychain library cannot be loaded (libsecret-1.so.0, or keytar itself, is missing)'
    : 'the keychain library keytar cannot be loaded';
}
