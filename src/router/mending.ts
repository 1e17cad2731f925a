import { RouterError } from '../errors.js';
import type { HostNote } from '../slot/host.js';
import type { Finding, KeepBefore, Part } from './finding.js';
import { type FindingCode, MEND_ORDER } from './finding-codes.js';

export interface MendingDeps {
  /** The whole look of `doctor`, anew. */
  readonly look: () => Promise<readonly Finding[]>;
  readonly keep: KeepBefore;
  /** Ends it between two mends: nothing is half-done then. */
  readonly signal?: AbortSignal;
  /** Hears each mend before it begins, and what came of it. */
  readonly heard?: (step: MendStep) => void;
}

export type MendStep =
  | { readonly kind: 'begins'; readonly finding: Finding }
  | { readonly kind: 'mended'; readonly mended: MendedFinding }
  | { readonly kind: 'failed'; readonly failed: FailedMend };

export interface MendedFinding {
  readonly code: FindingCode;
  readonly part: Part;
  readonly text: string;
  /** The command that takes it back. */
  readonly undo: string | null;
  readonly notes: readonly HostNote[];
}

export interface FailedMend {
  readonly code: FindingCode;
  readonly part: Part;
  readonly error: RouterError;
}

export interface Mending {
  /** What is left. */
  readonly findings: readonly Finding[];
  readonly mended: readonly MendedFinding[];
  readonly failed: readonly FailedMend[];
}

/** What a mend says that finds another state than was looked at. */
const OUTRUN: ReadonlySet<string> = new Set(['HOST_BUSY', 'SLOT_CHANGED']);

/** More than one OpenClaw can need; a mend that makes its own finding again ends here. */
const MOST = 50;

/**
 * Carries the mends out, one at a time, the one that others rest on first, and looks anew after each, because one may cure several. Each
 * is tried once: one that fails, or does not cure what it was for, is told, and the rest goes on.
 * @throws what `look` throws, and the signal's reason; what was mended until then stays mended
 */
export async function carryOutMends({
  look,
  keep,
  signal,
  heard = () => undefined,
}: MendingDeps): Promise<Mending> {
  const mended: MendedFinding[] = [];
  const failed: FailedMend[] = [];
  const tried = new Set<string>();
  let findings = await look();
  const fail = (failure: FailedMend) => {
    failed.push(failure);
    heard({ kind: 'failed', failed: failure });
  };
  while (tried.size < MOST) {
    const finding = nextOf(findings, tried);
    if (finding === null || finding.mend === null) break;
    signal?.throwIfAborted();
    const { code, part, mend } = finding;
    tried.add(nameOf(finding));
    heard({ kind: 'begins', finding });
    try {
      const { text, undo, notes } = await mend.carryOut(keep);
      findings = await look();
      if (findings.some((left) => nameOf(left) === nameOf(finding))) {
        fail({ code, part, error: stays(text, undo) });
        continue;
      }
      const one = { code, part, text, undo, notes };
      mended.push(one);
      heard({ kind: 'mended', mended: one });
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
      findings = await look();
      const isGone = !findings.some((left) => nameOf(left) === nameOf(finding));
      // Somebody else has mended it meanwhile, or it has passed.
      if (!(isGone && OUTRUN.has(error.code))) fail({ code, part, error });
    }
  }
  return { findings, mended, failed };
}

/** The first that can be mended and was not tried yet. */
function nextOf(findings: readonly Finding[], tried: ReadonlySet<string>): Finding | null {
  const place = ({ part }: Finding) => MEND_ORDER.indexOf(part);
  const left = findings.filter((finding) => finding.mend !== null && !tried.has(nameOf(finding)));
  return [...left].sort((a, b) => place(a) - place(b))[0] ?? null;
}

/** Two looks give the same finding the same name. */
function nameOf({ code, text }: Finding): string {
  return `${code} ${text}`;
}

function stays(text: string, undo: string | null): RouterError {
  const what = `it was tried (${text}), and it is as it was`;
  return new RouterError('SLOT_CHANGED', what, {
    hint: undo === null ? 'codex-router doctor looks again' : `${undo} takes it back`,
  });
}
