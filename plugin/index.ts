import { answer, COMMANDS, configOf, contextOf, type Room, typed } from './commands.js';
import { connections } from './connections.js';
import { settleAtRunEnd, tellExec } from './hooks.js';
import { parseHost } from './host.js';
import { commandScopesOf, parsePluginConfig } from './permission.js';
import { takePresses } from './presses.js';
import { remembered } from './remembered.js';
import { recentRequests } from './requests.js';
import { runsOf } from './runs.js';

/**
 * The OpenClaw plugin: decides who may ask and in which session, has the installed codex-router answer, and sends what that
 * says. It holds no login and does none of the router's work.
 */
const plugin = {
  id: 'codex-router',
  name: 'codex-router',
  description: 'Routes OpenClaw to one of your own Codex logins, from the chat',
  /** @throws Error when it is not OpenClaw's plugin API. */
  register(api: unknown): void {
    const host = parseHost(api);
    const runs = runsOf(host, Date.now);
    const { add } = settleAtRunEnd(host, runs);
    const { renew } = connections(runs, Date.now);
    const room: Room = {
      host,
      requests: recentRequests(),
      remembered: remembered(),
      pending: add,
      renewConnections: renew,
      isTurnRunningIn: runs.isRunningIn,
      now: Date.now,
    };
    // A config that cannot be read lets in whom an empty one would.
    const scopes = commandScopesOf(configOf(host) ?? parsePluginConfig(undefined));
    for (const [name, description] of Object.entries(COMMANDS)) {
      host.registerCommand({
        name,
        description,
        acceptsArgs: true,
        requireAuth: true,
        ...scopes,
        handler: async (context: unknown) =>
          (await answer(room, typed(name, context), contextOf(context))).reply,
      });
    }
    takePresses(room);
    tellExec(host);
  },
};

export { plugin as default };
