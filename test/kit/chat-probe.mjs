/**
 * A plugin of the tests, installed beside codex-router's: looks at the gateway from inside.
 *   probe.receive  a message as a channel hands it to the dispatcher; answers what would be sent back
 *   probe.delay    the event loop's delay (ms) since the last call
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';

const delay = monitorEventLoopDelay({ resolution: 5 });

export default {
  id: 'probe',
  name: 'probe',
  description: 'looks at the gateway from inside',
  register(api) {
    const answer = (run) => async (options) => {
      try {
        options.respond(true, await run(options));
      } catch (error) {
        options.respond(false, undefined, { code: 'UNAVAILABLE', message: String(error?.stack ?? error) });
      }
    };
    api.registerGatewayMethod(
      'probe.receive',
      answer(async ({ params }) => {
        const { channel, config } = api.runtime;
        const sent = [];
        await channel.reply.dispatchReplyWithBufferedBlockDispatcher({
          ctx: channel.reply.finalizeInboundContext(params.ctx),
          cfg: config.current?.() ?? config.loadConfig(),
          dispatcherOptions: {
            deliver: async (payload, info) => void sent.push({ kind: info?.kind, ...payload }),
            onError: (error) => void sent.push({ kind: 'error', text: String(error?.message ?? error) }),
          },
        });
        return { sent };
      }),
    );
    api.registerGatewayMethod(
      'probe.delay',
      answer(async () => {
        const seen = {
          max: delay.max / 1e6,
          p99: delay.percentile(99) / 1e6,
          mean: delay.mean / 1e6,
          count: delay.count,
        };
        delay.reset();
        delay.enable();
        return seen;
      }),
    );
  },
};
