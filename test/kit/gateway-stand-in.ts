import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';
import { listen } from './backend.js';
import type { Owner } from './router.js';
import { GATEWAY_TOKEN } from './state.js';

/** A loopback gateway that only says what it holds, as 5.7 to 9.6 said it when they were run. */
export interface GatewayStandIn {
  readonly port: number;
  /** The methods it was asked for, with their parameters. */
  readonly asked: { readonly method: string; readonly params: Record<string, unknown> }[];
  /** `expires` of its copy of the slot; null: it has none there. */
  holds: number | null;
}

/** @param serves whether it has `models.authStatus` (from 4.15 on) */
export async function startGatewayStandIn(
  t: Owner,
  { release, stateDir, provider, profileId, serves = true }: StandInOptions,
): Promise<GatewayStandIn> {
  const server = createServer((_request, response) => response.writeHead(404).end());
  const sockets = new WebSocketServer({ server });
  const asked: GatewayStandIn['asked'] = [];
  const port = await listen(server, t);
  const self: GatewayStandIn = { port, asked, holds: null };
  t.teardown(() => {
    for (const socket of sockets.clients) socket.terminate();
  });
  sockets.on('connection', (socket) => {
    const send = (frame: object) => socket.send(JSON.stringify(frame));
    send({ type: 'event', event: 'connect.challenge', payload: { nonce: 'n', ts: 1 } });
    socket.on('message', (data) => {
      const { id, method, params } = JSON.parse(data.toString());
      asked.push({ method, params });
      if (method === 'connect') {
        const { token } = params.auth;
        if (token !== GATEWAY_TOKEN) throw new Error('the gateway was shown another token');
        const methods = ['health', 'secrets.reload', ...(serves ? ['models.authStatus'] : [])];
        const server = { version: release, connId: 'c' };
        const payload = {
          type: 'hello-ok',
          protocol: 3,
          server,
          features: { methods },
          snapshot: { stateDir },
        };
        send({ type: 'res', id, ok: true, payload });
        return;
      }
      const expiry = self.holds === null ? [] : [{ profileId, type: 'oauth', expiry: { at: self.holds } }];
      const payload = { ts: Date.now() - 30_000, providers: [{ provider, profiles: expiry }] };
      send({ type: 'res', id, ok: true, payload });
    });
  });
  return self;
}

interface StandInOptions {
  readonly release: string;
  readonly stateDir: string;
  readonly provider: string;
  readonly profileId: string;
  readonly serves?: boolean;
}
