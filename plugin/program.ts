import { realpath, stat } from 'node:fs/promises';
import { basename, delimiter, dirname, isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Where codex-router is, or the one sentence that a person needs when it cannot be told. */
export type Program = { readonly path: string } | { readonly trouble: string };

export interface Surroundings {
  /** `program` of the plugin's config. */
  readonly configured: string | null;
  /** This module's own address: a linked plugin lies in the package, beside the program. */
  readonly self: string;
  readonly node: string;
  readonly searchPath: string;
  /** Of this process; null where users have no numbers. */
  readonly user: number | null;
}

const SET_IT =
  'set plugins.entries.codex-router.config.program to the path that `codex-router plugin path --program` prints';

/**
 * The installed codex-router.js. A configured path is taken or refused, never passed over; without one it is looked for
 * in the package this plugin is linked from, beside the Node that runs us (npm -g), then on PATH.
 */
export async function findProgram(around: Surroundings): Promise<Program> {
  const { configured, self, node, searchPath } = around;
  if (configured !== null) {
    if (!isAbsolute(configured)) return { trouble: `config.program is not an absolute path; ${SET_IT}` };
    const why = await objection(configured, around);
    return why === null
      ? { path: await realpath(configured) }
      : { trouble: `config.program ${why}; ${SET_IT}` };
  }
  const home = dirname(await resolved(fileURLToPath(self)));
  const bins = [dirname(node), ...searchPath.split(delimiter).filter((folder) => isAbsolute(folder))];
  const candidates = [
    ...(basename(home) === 'plugin' ? [join(dirname(home), 'codex-router.js')] : []),
    join(dirname(node), '..', 'lib', INSTALLED),
    join(dirname(node), INSTALLED),
    ...bins.map((folder) => join(folder, 'codex-router')),
  ];
  for (const candidate of candidates) {
    if ((await objection(candidate, around)) === null) return { path: await realpath(candidate) };
  }
  return {
    trouble: `the codex-router program was not found; install it (npm install -g codex-router), or ${SET_IT}`,
  };
}

const INSTALLED = join('node_modules', 'codex-router', 'dist', 'codex-router.js');

/** Why the file behind a path is not to be run; null when nothing speaks against it. */
async function objection(path: string, { user }: Surroundings): Promise<string | null> {
  const found = await stat(path).catch(() => null);
  if (found === null) return 'does not exist or cannot be read';
  if (!found.isFile()) return 'is not a file';
  // What is on PATH may be a wrapper of a version manager, which Node cannot run.
  if (!/\.[cm]?js$/.test(await resolved(path))) return 'is not the codex-router.js of the package';
  if (user === null) return null;
  if ((found.mode & 0o002) !== 0) return 'can be written by everybody';
  return found.uid === user || found.uid === 0 ? null : 'belongs to another user';
}

async function resolved(path: string): Promise<string> {
  return await realpath(path).catch(() => path);
}
