import { appendFileSync } from 'node:fs';

export type FigureName =
  | 'kill points'
  | 'faults injected'
  | 'race steps'
  | 'reuse events'
  | 'identities lost'
  | 'session entries lost'
  | 'session losses repaired';

/** Adds `n` to a figure of the crash suite; test/run.mjs sums them over all files and prints them at its end. */
export function figure(name: FigureName, n: number): void {
  const file = process.env.CRASH_FIGURES;
  if (file) appendFileSync(file, `${JSON.stringify([name, n])}\n`);
}

/** What random choices of the suite start from: the same in every run unless CRASH_SEED says otherwise. */
export const SEED = Number(process.env.CRASH_SEED ?? 20261121);

/** How much longer than in CI random tests are to run. */
export const LONGER = Math.max(1, Number(process.env.CRASH_LONG ?? 1));
