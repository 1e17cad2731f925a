import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { JsonObject } from '../json.js';
import type { SdkAnswer, SdkTrouble } from './sdk-message.js';

/** What goes wrong in the helper, as its answer. */
export class Trouble extends Error {
  readonly answer: SdkAnswer;

  constructor(trouble: SdkTrouble, what: string) {
    super(what);
    this.answer = { stage: 'failed', trouble, what };
  }
}

/** Its text may quote what it was given: only the kind is told. */
export function kindOf(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name;
  return /^[A-Za-z_]{1,60}$/.test(code) ? code : 'Error';
}

/** A function of OpenClaw, of which nothing is known. */
export type Call = (...args: readonly unknown[]) => unknown;

/** One module of the plugin SDK. */
export interface Module {
  /** @throws Trouble `missing` */
  need(name: string): Call;
  find(name: string): Call | null;
}

/** @throws Trouble `import` */
export async function load(root: string, name: string): Promise<Module> {
  let exported: object;
  try {
    exported = objectOf(await import(pathToFileURL(join(root, 'dist', 'plugin-sdk', `${name}.js`)).href));
  } catch (error) {
    throw new Trouble('import', kindOf(error));
  }
  const find = (wanted: string): Call | null => parseCall(Object.entries(exported), wanted);
  return {
    find,
    need(wanted) {
      const call = find(wanted);
      if (call === null) throw new Trouble('missing', wanted);
      return call;
    },
  };
}

/** Empty for what is no object. */
export function objectOf(found: unknown): object {
  return typeof found === 'object' && found !== null ? found : {};
}

function parseCall(entries: readonly [string, unknown][], name: string): Call | null {
  const found = entries.find(([key]) => key === name)?.[1];
  return typeof found === 'function' ? (found as Call) : null;
}

/** What was just printed as JSON. */
export function parseDocument(text: string): JsonObject {
  return JSON.parse(text) as JsonObject;
}
