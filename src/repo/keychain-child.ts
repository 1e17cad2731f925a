/**
 * The keychain helper: its own process, because a hung daemon cannot be timed out in process and the native library can
 * crash (facts: a stopped gnome-keyring blocks for 25 s and process.exit() with it). One request as JSON on stdin, one
 * answer as a line of JSON on stdout; nothing in argv or the environment. Never calls keytar's find functions: they crash
 * on a locked collection. Keep this file free of imports, so that it starts fast.
 */

export interface KeychainRequest {
  readonly op: 'get' | 'set' | 'delete' | 'probe';
  readonly service: string;
  readonly account: string;
  /** For `set`: base64url only (KeePassXC expands placeholders, keytar cuts at NUL). */
  readonly value?: string;
  /** After so many ms the helper kills itself, should its parent be gone by then. */
  readonly deadline: number;
  /** A random account for the probe, never used before. */
  readonly probe: string;
}

export type KeychainAnswer =
  /** `probe`: null when it was not needed or passed, else why a write failed. */
  | { readonly stage: 'done'; readonly value: string | boolean | null; readonly probe: string | null }
  | { readonly stage: 'load' | 'call'; readonly text: string };

/** How a call ended: with the child's answer, or without one. */
export type KeychainOutcome =
  | KeychainAnswer
  | { readonly stage: 'hung' }
  | { readonly stage: 'crashed'; readonly how: string };

interface Keytar {
  getPassword(service: string, account: string): Promise<string | null>;
  setPassword(service: string, account: string, password: string): Promise<void>;
  deletePassword(service: string, account: string): Promise<boolean>;
}

async function answer(request: KeychainRequest): Promise<KeychainAnswer> {
  let keytar: Keytar;
  try {
    // Only `default` carries every function: the package is CommonJS and Node sees just one of its names.
    keytar = (await import('keytar')).default;
  } catch (error) {
    return { stage: 'load', text: String(error) };
  }
  try {
    return await perform(keytar, request);
  } catch (error) {
    return { stage: 'call', text: String(error) };
  }
}

async function perform(keytar: Keytar, request: KeychainRequest): Promise<KeychainAnswer> {
  const { service, account, value } = request;
  if (request.op === 'delete') {
    return { stage: 'done', value: await keytar.deletePassword(service, account), probe: null };
  }
  if (request.op === 'set') {
    if (value === undefined) return { stage: 'call', text: 'no value' };
    await keytar.setPassword(service, account, value);
    const kept = (await keytar.getPassword(service, account)) === value;
    return { stage: 'done', value: kept, probe: kept ? null : 'what was written did not read back' };
  }
  if (request.op === 'probe') {
    return { stage: 'done', value: null, probe: await probe(keytar, request) };
  }
  const found = await keytar.getPassword(service, account);
  // A locked collection reads as null, just like a deleted item: only a write tells them apart.
  return { stage: 'done', value: found, probe: found === null ? await probe(keytar, request) : null };
}

async function probe(keytar: Keytar, request: KeychainRequest): Promise<string | null> {
  const { service, probe: account } = request;
  try {
    await keytar.setPassword(service, account, 'probe');
    const kept = (await keytar.getPassword(service, account)) === 'probe';
    await keytar.deletePassword(service, account);
    return kept ? null : 'what was written did not read back';
  } catch (error) {
    return String(error);
  }
}

async function main(): Promise<void> {
  let text = '';
  for await (const chunk of process.stdin.setEncoding('utf8')) text += chunk;
  const request: KeychainRequest = JSON.parse(text);
  // SIGKILL, since process.exit() waits for a library call that hangs.
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), request.deadline + 1000).unref();
  process.stdout.write(`${JSON.stringify(await answer(request))}\n`);
}

void main();
