import { createHash, generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import { WebSocket } from 'ws';
import { GATEWAY_TOKEN } from './state.js';

type Fields = Record<string, unknown>;

/** What came of one message: everything the chat was shown for it, in order; `error` when the host itself refused it. */
export interface Heard {
  readonly texts: readonly string[];
  readonly text: string;
  readonly error: string | null;
  /** ms from sending to the end. */
  readonly took: number;
}

/** A browser's chat page on a gateway: a device of its own, paired as a local one is. */
export interface ChatClient {
  // biome-ignore lint/suspicious/noExplicitAny: a test reads the fields it expects, and fails when they are not there
  call(method: string, params?: object): Promise<any>;
  /** Sends a message and waits until its run has ended. @throws when it never does. */
  say(session: string, message: string): Promise<Heard>;
  close(): void;
}

const PATIENCE = 90_000;

/** Everything a person on their own machine may do; without `operator.admin` they are no owner. */
export const OWNER = ['operator.admin', 'operator.read', 'operator.write', 'operator.approvals'];
export const GUEST = ['operator.read', 'operator.write'];

/** Connects as facts: openclaw-json.md section 2 tells, with a device's signature, without which 2026.3.28 gives no rights. */
export async function chatClient(port: number, scopes: readonly string[] = OWNER): Promise<ChatClient> {
  const keys = generateKeyPairSync('ed25519');
  const raw = Buffer.from(String(keys.publicKey.export({ format: 'jwk' }).x), 'base64url');
  const device = { id: createHash('sha256').update(raw).digest('hex'), publicKey: raw.toString('base64url') };
  const client = { id: 'webchat-ui', version: '0.0.0', platform: 'linux', mode: 'webchat' };
  const signed = (nonce: string) => {
    const signedAt = Date.now();
    const payload = [
      ...['v3', device.id, client.id, client.mode, 'operator', scopes.join(','), String(signedAt)],
      ...[GATEWAY_TOKEN, nonce, client.platform, ''],
    ].join('|');
    const signature = sign(null, Buffer.from(payload), keys.privateKey).toString('base64url');
    return { ...device, signature, signedAt, nonce };
  };

  const socket = new WebSocket(`ws://127.0.0.1:${port}`, {
    maxPayload: 25_000_000,
    origin: `http://127.0.0.1:${port}`,
  });
  const waiting = new Map<string, { resolve: (payload: unknown) => void; reject: (error: Error) => void }>();
  const runs = new Map<string, (event: Fields) => void>();
  // A run may end before the answer that names it is read.
  const early = new Map<string, Fields[]>();
  const send = (method: string, params: object, id: string = randomUUID()) => {
    const answer = new Promise<unknown>((resolve, reject) => waiting.set(id, { resolve, reject }));
    socket.send(JSON.stringify({ type: 'req', id, method, params }));
    return answer;
  };
  const lost = (why: string) => {
    for (const { reject } of waiting.values()) reject(new Error(why));
    waiting.clear();
  };
  await new Promise<void>((resolve, reject) => {
    socket.on('error', reject);
    socket.on('close', () => {
      lost('the gateway closed the connection');
      reject(new Error('the gateway closed the connection'));
    });
    socket.on('message', (data) => {
      const frame = JSON.parse(String(data));
      if (frame.type === 'event' && frame.event === 'connect.challenge') {
        const hello = {
          ...{ minProtocol: 3, maxProtocol: 4, client, role: 'operator', scopes, caps: [] },
          ...{ auth: { token: GATEWAY_TOKEN }, device: signed(String(frame.payload?.nonce)) },
        };
        send('connect', hello).then(() => resolve(), reject);
      } else if (frame.type === 'event' && frame.event === 'chat') {
        const id = String(frame.payload.runId);
        const listener = runs.get(id);
        if (listener) listener(frame.payload);
        else early.set(id, [...(early.get(id) ?? []), frame.payload]);
      } else if (frame.type === 'res') {
        const asked = waiting.get(frame.id);
        waiting.delete(frame.id);
        if (frame.ok) asked?.resolve(frame.payload);
        else asked?.reject(new Error(JSON.stringify(frame.error)));
      }
    });
  });

  return {
    call: (method, params = {}) => send(method, params),
    close: () => socket.terminate(),
    say: async (session, message) => {
      const began = Date.now();
      const runId = randomUUID();
      const events: Fields[] = [];
      const ended = new Promise<void>((resolve, reject) => {
        const deadline = setTimeout(
          () => reject(new Error(`no end of: ${message.slice(0, 80)}\n${JSON.stringify(events)}`)),
          PATIENCE,
        );
        runs.set(runId, (event) => {
          events.push(event);
          if (!['final', 'error', 'aborted'].includes(String(event.state))) return;
          clearTimeout(deadline);
          resolve();
        });
      });
      const sent = { sessionKey: session, message, idempotencyKey: runId };
      const refused = await send('chat.send', sent).then(
        () => null,
        (error: Error) => error.message,
      );
      if (refused !== null) return { texts: [], text: '', error: refused, took: Date.now() - began };
      for (const event of early.get(runId) ?? []) runs.get(runId)?.(event);
      await ended;
      const final = events.filter((event) => event.state === 'final');
      const texts = final.map(({ message: shown }) => textOf(shown)).filter((text) => text !== '');
      const failed = events.find((event) => event.state === 'error');
      const error = failed ? String(failed.errorMessage ?? 'error') : null;
      return { texts, text: texts.join('\n'), error, took: Date.now() - began };
    },
  };
}

/** The text of a message as transcripts and events hold it. */
export function textOf(message: unknown): string {
  const { content, text } = (message ?? {}) as { content?: unknown; text?: unknown };
  if (typeof text === 'string') return text;
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return '';
  return content.flatMap((part) => (typeof part?.text === 'string' ? [part.text] : [])).join('\n');
}
