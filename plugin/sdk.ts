import { realpath } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { systemErrorCode } from '../src/errors.js';

/**
 * A module of the gateway that runs us, the very instance that the gateway itself uses: found from the gateway's own program,
 * because `import 'openclaw/...'` from a plugin's folder finds nothing in 2026.3.28 and 2026.5.7, and loaded with Node's own
 * `require`, because 2026.9.6 makes a plugin's `import()` load a second instance. Null where it cannot be found.
 */
export async function gatewayModule(name: string): Promise<unknown> {
  try {
    const fromGateway = createRequire(await realpath(process.argv[1] ?? ''));
    const found = fromGateway.resolve(name);
    try {
      return fromGateway(found);
    } catch (error) {
      // Before Node 22.12, and for a module that awaits while it loads.
      if (!['ERR_REQUIRE_ESM', 'ERR_REQUIRE_ASYNC_MODULE'].includes(systemErrorCode(error) ?? ''))
        throw error;
      return await import(pathToFileURL(found).href);
    }
  } catch {
    return null;
  }
}
