import type { HostNote } from '../slot/host.js';
import type { Ground } from './ground.js';
import type { Release } from './release.js';
import type { DatabaseLook } from './sqlite-store.js';

/** Why OpenClaw itself has to write there. */
export function unknownSchema({ path, schema }: DatabaseLook): string {
  return `${path} is of schema ${schema}, which codex-router has not been tested with`;
}

export function leftover(path: string, who: string): HostNote {
  return { code: 'JSON_LEFTOVER', text: `${path} is a leftover that ${who} does not read` };
}

/** 6.5 to 7.35 register their databases by full path; one elsewhere tells that the folder was moved or copied here. */
export function movedFrom(stateDirs: readonly string[], state: DatabaseLook | null): readonly HostNote[] {
  const elsewhere = state?.registered.find(
    (path) => path.startsWith('/') && !stateDirs.some((dir) => path.startsWith(`${dir}/`)),
  );
  if (elsewhere === undefined) return [];
  const text = `this state directory was moved or copied here: its register still names ${elsewhere}. Its logins may be in use there too`;
  return [{ code: 'STATE_MOVED', text }];
}

/** For sentences. */
export function nameOf(release: Release | null): string {
  return release === null ? 'this OpenClaw' : `OpenClaw ${release.version} (${release.source})`;
}

/** How the release was told. @param release null where nothing tells it */
export function releaseReasons({ installed }: Ground, release: Release | null): readonly HostNote[] {
  if (installed !== null)
    return [reason('RELEASE_INSTALLED', `OpenClaw ${installed.version} is installed (${installed.source})`)];
  const unknown = reason(
    'RELEASE_NOT_INSTALLED',
    'no installed OpenClaw was found: not on PATH, running or as a service',
  );
  return release === null
    ? [unknown]
    : [unknown, reason('RELEASE_TOLD', `${release.source} says ${release.version}`)];
}

/** One step of what led to an answer. */
export function reason(code: string, text: string): HostNote {
  return { code, text };
}
