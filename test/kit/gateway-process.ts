import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { WebSocket } from 'ws';
import { bare, until } from './process.js';
import type { Tester } from './real.js';
import { GATEWAY_TOKEN } from './state.js';

/** Starts a gateway on loopback and waits until it is ready; it stops when the test ends. Gives the way to stop it before. */
export async function startGateway(
  t: Tester,
  program: readonly string[],
  env: Readonly<Record<string, string>>,
  work: string,
  logFile: string,
  port: number,
  path: 'healthz' | 'readyz' = 'readyz',
): Promise<() => Promise<void>> {
  const log = openSync(logFile, 'a');
  const command = [...program, 'gateway', 'run', '--port', String(port), '--bind', 'loopback'];
  const [file = '', ...args] = bare(command, env);
  const child = spawn(file, args, { cwd: work, stdio: ['ignore', log, log] });
  closeSync(log);
  let running = true;
  const ended = new Promise<void>((resolve) =>
    child.on('close', () => {
      running = false;
      resolve();
    }),
  );
  const stop = async () => {
    if (!running) return;
    child.kill('SIGTERM');
    const patience = setTimeout(() => child.kill('SIGKILL'), 10_000);
    await ended;
    clearTimeout(patience);
  };
  t.teardown(stop);
  await until(
    'the gateway is ready',
    async () => {
      if (!running) throw new Error('the gateway ended');
      const answer = await fetch(`http://127.0.0.1:${port}/${path}`).catch(() => null);
      return answer?.ok;
    },
    120_000,
  ).catch((error) => {
    throw new Error(`${error.message}\n${readFileSync(logFile, 'utf8').slice(-4000)}`);
  });
  return stop;
}

/** Speaks the gateway's protocol as facts: openclaw-json.md section 2 gives it. */
export function callGateway(
  port: number,
  method: string,
  params: object,
  password?: string,
): Promise<unknown> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}`, { maxPayload: 25_000_000 });
  const request = (id: string, name: string, fields: object) =>
    socket.send(JSON.stringify({ type: 'req', id, method: name, params: fields }));
  const connect = {
    minProtocol: 3,
    maxProtocol: 4,
    client: { id: 'gateway-client', version: '0.0.0', platform: process.platform, mode: 'backend' },
    role: 'operator',
    scopes: ['operator.admin'],
    caps: [],
    auth: password === undefined ? { token: GATEWAY_TOKEN } : { password },
  };
  return new Promise<unknown>((resolve, reject) => {
    const deadline = setTimeout(() => reject(new Error(`${method} was not answered`)), 90_000);
    const close = () => {
      clearTimeout(deadline);
      socket.terminate();
    };
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('the gateway closed the connection')));
    socket.on('message', (data) => {
      const message = JSON.parse(String(data));
      if (message.type === 'event' && message.event === 'connect.challenge') request('1', 'connect', connect);
      if (message.type !== 'res') return;
      if (!message.ok) reject(new Error(`${method}: ${JSON.stringify(message.error)}`));
      else if (message.id === '1') request('2', method, params);
      else resolve(message.payload);
      if (!message.ok || message.id === '2') close();
    });
  });
}
