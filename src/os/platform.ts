import { RouterError } from '../errors.js';

/**
 * Refuses, before anything is written, what depends on replacing a file that another program may have open: Windows cannot
 * do that atomically, and its file protection (ACLs) is not checked here.
 * @throws PLATFORM_UNSUPPORTED on Windows; docs/platforms.md says what works there.
 */
export function requireReplacing(platform: NodeJS.Platform): void {
  if (platform !== 'win32') return;
  throw new RouterError('PLATFORM_UNSUPPORTED', 'OpenClaw cannot be routed safely on Windows yet', {
    hint: 'run OpenClaw and codex-router in WSL; docs/platforms.md says what works where',
  });
}
