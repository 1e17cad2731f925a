import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ErrorCode, RouterError } from '../errors.js';
import { type Helper, type HelperPlace, type Silence, startHelper } from './sdk-helper.js';
import type { SdkAnswer, SdkRequest } from './sdk-message.js';

export interface SdkDeps extends HelperPlace {
  /** ms for one answer, the import included; default 30,000. */
  readonly deadline?: number;
}

/** Answers that are no failure. */
export type SdkResult = Exclude<SdkAnswer, { readonly stage: 'failed' }>;

/** The plugin SDK of the installed OpenClaw, in one child process that is started by the first question. */
export interface Sdk {
  /** For sentences: `OpenClaw 2026.9.6`. */
  readonly release: string;
  /**
   * One question at a time, in the order they came. An answer may be of another stage than the question's: the caller checks.
   * @param unreadable the code for a store that OpenClaw itself does not read.
   * @throws HOST_BUSY when it does not answer in time or its store stays locked; HOST_UNSUPPORTED when the SDK cannot be used;
   *   IO when it failed to write; `unreadable`.
   */
  ask(request: SdkRequest, unreadable: ErrorCode): Promise<SdkResult>;
  /** Ends the child once it has answered; a later question starts another. Without it the child ends with this process. */
  close(): void;
}

const DEADLINE_MS = 30_000;
/** Starts nothing yet. */
export function openSdk(deps: SdkDeps): Sdk {
  const deadline = deps.deadline ?? DEADLINE_MS;
  let child: Helper | null = null;
  let last: Promise<unknown> = Promise.resolve();
  let release: string | null = null;
  const nameOf = () => {
    release ??= `OpenClaw ${versionOf(deps.packageRoot) ?? '(release unknown)'}`;
    return release;
  };

  async function exchange(request: SdkRequest): Promise<SdkAnswer | Silence> {
    if (child === null || child.ended) child = startHelper(deps, deadline);
    return await child.ask(request, deadline);
  }

  return {
    get release() {
      return nameOf();
    },
    async ask(request, unreadable) {
      const answering = last.then(() => exchange(request));
      last = answering.catch(() => undefined);
      const answer = await answering;
      if ('silence' in answer) throw silent(nameOf(), answer, request, deadline);
      if (answer.stage === 'failed') throw troubled(nameOf(), answer, unreadable);
      return answer;
    },
    close() {
      child?.close();
      child = null;
    },
  };
}

function versionOf(packageRoot: string): string | null {
  try {
    const manifest: unknown = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8'));
    if (typeof manifest !== 'object' || manifest === null || !('version' in manifest)) return null;
    return typeof manifest.version === 'string' ? manifest.version : null;
  } catch {
    return null;
  }
}

const LOOK = 'codex-router status shows what is there now; then run the command again';

function silent(
  release: string,
  { silence, how }: Silence,
  request: SdkRequest,
  deadline: number,
): RouterError {
  const hint = request.op === 'read' || request.op === 'sessions' ? 'nothing was changed' : LOOK;
  if (silence === 'late') {
    const seconds = Math.round(deadline / 1000);
    return new RouterError('HOST_BUSY', `the SDK of ${release} gave no answer within ${seconds} s`, { hint });
  }
  const why = silence === 'garbled' ? 'gave an answer that is none' : `ended without an answer (${how})`;
  return new RouterError('HOST_UNSUPPORTED', `the SDK of ${release} ${why}`, { hint });
}

function troubled(
  release: string,
  { trouble, what }: Extract<SdkAnswer, { readonly stage: 'failed' }>,
  unreadable: ErrorCode,
): RouterError {
  const kind = what === '' ? '' : ` (${what})`;
  switch (trouble) {
    case 'import':
      return new RouterError('HOST_UNSUPPORTED', `the SDK of ${release} cannot be loaded${kind}`, {
        hint: 'look whether openclaw --version works; nothing was changed',
      });
    case 'missing':
      return new RouterError('HOST_UNSUPPORTED', `the SDK of ${release} has no ${what} any more`, {
        hint: 'update codex-router; nothing was changed',
      });
    case 'busy':
      return new RouterError('HOST_BUSY', `another process holds the store of ${release}`, {
        hint: 'wait for it to end and run the command again; nothing was changed',
      });
    case 'refused':
      return new RouterError(unreadable, `${release} cannot use its own store${kind}`, {
        hint: 'openclaw doctor says what is wrong, openclaw doctor --fix mends it; nothing was changed',
      });
    case 'write':
      return new RouterError('IO', `${release} could not write its store${kind}`, { hint: LOOK });
  }
}
