import { connect as connectTcp } from 'node:net';
import { systemErrorCode } from '../errors.js';
import { GatewayFailure } from './gateway-failure.js';

/** One open WebSocket, as little of it as is needed. */
export interface Wire {
  send(text: string): void;
  close(): void;
}

export interface WireEvents {
  text(frame: string): void;
  /** At most once, and never before `Connect` has resolved. */
  ended(): void;
}

/**
 * Opens a WebSocket to a loopback URL; follows no redirect. The signal's abort closes it at any time.
 * @throws GatewayFailure `unknown` when the server does not speak WebSocket, `timeout` when the signal aborts first.
 */
export type Connect = (url: string, events: WireEvents, signal: AbortSignal) => Promise<Wire>;

/** 5.7 announces 26,214,400 bytes as its own limit for a frame. */
const MAX_FRAME = 25 * 1024 * 1024;

/** `Connect` over the package `ws`, which is loaded only here. */
export const connectWebSocket: Connect = async (url, events, signal) => {
  const { WebSocket } = await import('ws');
  const socket = new WebSocket(url, {
    maxPayload: MAX_FRAME,
    perMessageDeflate: false,
    followRedirects: false,
  });
  const abort = () => socket.terminate();
  signal.addEventListener('abort', abort, { once: true });
  return await new Promise<Wire>((resolve, reject) => {
    let opened = false;
    socket.on('open', () => {
      opened = true;
      resolve({ send: (text) => socket.send(text), close: () => hangUp(socket) });
    });
    socket.on('message', (data, isBinary) => events.text(isBinary ? '' : data.toString()));
    socket.on('error', () => {
      // `close` always follows, and says the rest.
    });
    socket.on('close', () => {
      signal.removeEventListener('abort', abort);
      if (opened) events.ended();
      else reject(new GatewayFailure(signal.aborted ? 'timeout' : 'unknown'));
    });
    if (signal.aborted) abort();
  });
};

/** Closes politely, but does not let a peer that never answers keep the process alive. */
function hangUp(socket: { close(): void; terminate(): void }): void {
  socket.close();
  setTimeout(() => socket.terminate(), 500).unref();
}

/**
 * Whether anything accepts a TCP connection there; an answer within `timeoutMs`. A port that neither accepts nor refuses
 * counts as listening, because it cannot be said that nobody is there.
 */
export async function isListening(door: { host: string; port: number }, timeoutMs: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connectTcp(door);
    const settle = (listening: boolean) => {
      socket.destroy();
      resolve(listening);
    };
    socket.setTimeout(timeoutMs, () => settle(true));
    socket.once('connect', () => settle(true));
    socket.once('error', (error) => settle(systemErrorCode(error) !== 'ECONNREFUSED'));
  });
}
