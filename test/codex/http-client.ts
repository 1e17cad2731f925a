import { Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { send } from '../../src/codex/http.js';

/**
 * A program for http-proxy.test.ts, in a process of its own because Node reads NODE_EXTRA_CA_CERTS when it starts: sends the
 * refresh that stdin describes (a list of environments) once with each and prints the outcomes. No socket leaves loopback: what
 * goes to auth.openai.com itself arrives at TEST_TLS_PORT.
 */
const connect = Socket.prototype.connect as (this: Socket, ...args: unknown[]) => Socket;
Socket.prototype.connect = function (this: Socket, ...args: unknown[]): Socket {
  const to = (Array.isArray(args[0]) ? args[0][0] : args[0]) as { host?: string; port?: unknown };
  if (to.host === 'auth.openai.com') {
    if (String(to.port) !== '443') throw new Error(`port ${to.port}`);
    Object.assign(to, { host: '127.0.0.1', port: process.env.TEST_TLS_PORT });
  }
  if (!['127.0.0.1', 'localhost', '::1', '[::1]'].includes(to.host ?? ''))
    throw new Error(`a connection to ${to.host}`);
  return connect.apply(this, args);
} as typeof Socket.prototype.connect;

const environments = JSON.parse(await text(process.stdin)) as Record<string, string>[];
const outcomes = [];
for (const env of environments) {
  outcomes.push(
    await send(
      {
        env,
        testIssuer: null,
        limits: { connect: Number(env.CONNECT_LIMIT ?? 15_000), head: Number(env.HEAD_LIMIT ?? 30_000) },
      },
      {
        method: 'POST',
        url: 'https://auth.openai.com/oauth/token',
        json: { refresh_token: 'rt_CANARY_proxy' },
      },
    ),
  );
}
process.stdout.write(JSON.stringify(outcomes));
