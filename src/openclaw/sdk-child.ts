/**
 * The SDK helper: its own process under the Node that runs OpenClaw, which imports the installed release's plugin SDK and lets
 * it read and write. Requests are JSON lines on stdin, answers JSON lines on descriptor 3 (sdk-message.ts); it ends when stdin does.
 */
import { createWriteStream } from 'node:fs';
import type { SdkAnswer, SdkOpening, SdkRequest } from './sdk-message.js';
import { kindOf, load, Trouble } from './sdk-module.js';
import { listSessions, pinAll } from './sdk-sessions.js';
import { readStore, replace } from './sdk-store.js';

async function answer(root: string, request: SdkRequest): Promise<SdkAnswer> {
  try {
    switch (request.op) {
      case 'read':
        return {
          stage: 'store',
          store: await readStore(await load(root, 'provider-auth'), request.agentDir),
        };
      case 'replace':
        return await replace(await load(root, 'provider-auth'), request);
      case 'sessions':
        return {
          stage: 'sessions',
          entries: await listSessions(root, await load(root, 'session-store-runtime'), request.agent),
        };
      case 'pin':
        return {
          stage: 'pinned',
          outcomes: await pinAll(root, await load(root, 'session-store-runtime'), request),
        };
    }
  } catch (error) {
    return error instanceof Trouble
      ? error.answer
      : { stage: 'failed', trouble: 'refused', what: kindOf(error) };
  }
}

async function main(): Promise<void> {
  // Ctrl-C is for the one who asks: it decides whether what was begun is finished.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => undefined);
  const out = createWriteStream('', { fd: 3 });
  out.on('error', () => process.exit(1));
  let text = '';
  let opening: SdkOpening | null = null;
  for await (const chunk of process.stdin.setEncoding('utf8')) {
    text += chunk;
    for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n')) {
      const line = text.slice(0, end);
      text = text.slice(end + 1);
      if (opening === null) {
        opening = parseOpening(line);
        continue;
      }
      const last = setTimeout(() => process.kill(process.pid, 'SIGKILL'), opening.deadline + 1000);
      const answered = await answer(opening.packageRoot, parseRequest(line));
      clearTimeout(last);
      await new Promise<void>((written) => out.write(`${JSON.stringify(answered)}\n`, () => written()));
    }
  }
  // OpenClaw's own exit hooks give its leases back.
  process.exit(0);
}

function parseOpening(line: string): SdkOpening {
  return JSON.parse(line) as SdkOpening;
}

function parseRequest(line: string): SdkRequest {
  return JSON.parse(line) as SdkRequest;
}

void main();
