import { renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ModelCall, Verdict } from './backend.js';
import type { CannedAnswer, Issuer } from './issuer.js';
import type { Sandbox } from './router.js';
import type { Person } from './tokens.js';

export const HOUR = 60 * 60 * 1000;
const FIVE_HOURS = 5 * HOUR;
const WEEK = 7 * 24 * HOUR;

/** A time that goes on by itself, and by leaps when a test says so. */
export interface SimulatedClock {
  /** ms epoch */
  now(): number;
  /** @param ms at least 0 */
  leap(ms: number): void;
  /** For the programs that shall live in it: OpenClaw and codex-router. Lay it under their own NODE_OPTIONS. */
  readonly env: { readonly CLOCK_SHIFT: string; readonly NODE_OPTIONS: string };
}

const PRELOAD = fileURLToPath(new URL('../crash/clock-shift.mjs', import.meta.url));

/** A clock in a file of the sandbox; the real time until its first leap. */
export function simulatedClock({ root }: Pick<Sandbox, 'root'>): SimulatedClock {
  const file = path.join(root, 'clock');
  let shift = 0;
  const write = () => {
    // At one stroke, for a program that reads it just now.
    writeFileSync(`${file}.new`, String(shift));
    renameSync(`${file}.new`, file);
  };
  write();
  return {
    now: () => Date.now() + shift,
    leap: (ms) => {
      shift += ms;
      write();
    },
    env: { CLOCK_SHIFT: file, NODE_OPTIONS: `--import=${PRELOAD}` },
  };
}

/** How many model calls a window of an account holds. */
export interface Allowance {
  readonly fiveHour: number;
  readonly week: number;
  /** Calls of this week that were made before, and ms until it is over; default none and a week that begins with the first call. */
  readonly weekSpent?: number;
  readonly weekEndsIn?: number;
}

/** What is left, in whole percents as the backend tells them, and ms epoch of the reset. */
export interface Left {
  readonly fiveHour: number;
  readonly week: number;
  readonly fiveHourResetsAt: number;
  readonly weekResetsAt: number;
}

/** One model call as it was answered. */
export interface SpentCall {
  /** ms epoch, of the simulated clock. */
  readonly at: number;
  /** `<accountId>/<userId>` */
  readonly who: string;
  readonly refused: boolean;
}

/** ChatGPT's limits as an issuer's backend keeps them: model calls spend them, usage tells them, the clock gives them back. */
export interface Limits {
  readonly clock: SimulatedClock;
  readonly calls: readonly SpentCall[];
  /** From now on; an account that was never given any has no limits, and spends none. */
  give(person: Person, allowance: Allowance): void;
  /** @throws for an account without limits */
  left(person: Person): Left;
  /** Spends as so many model calls would. */
  spend(person: Person, calls: number): void;
  /** How the account's questions about its limits fail from now on; null: they are answered again. Its model calls go on. */
  fail(person: Person, answer: CannedAnswer | null): void;
}

interface Window {
  readonly size: number;
  readonly span: number;
  spent: number;
  /** ms epoch; null for one that begins with the next call. */
  startedAt: number | null;
}

interface Account {
  readonly fiveHour: Window;
  readonly week: Window;
}

/**
 * Puts limits behind an issuer's backend, usage and model calls alike, and the issuer into the clock's time. A call is taken as long as both
 * windows hold something, and refused with 429 `usage_limit_reached` until the last full one is over
 * (facts: codex.md sections 5.1, 5.4). A window begins with the first call after the last one ended.
 */
export function limitsOf(issuer: Issuer, clock: SimulatedClock): Limits {
  const accounts = new Map<string, Account>();
  const failures = new Map<string, CannedAnswer>();
  const calls: SpentCall[] = [];
  const renewed = (window: Window): Window => {
    if (window.startedAt !== null && clock.now() >= window.startedAt + window.span) {
      window.startedAt = null;
      window.spent = 0;
    }
    return window;
  };
  const accountOf = (key: string): Account | null => {
    const account = accounts.get(key);
    if (account === undefined) return null;
    renewed(account.fiveHour);
    renewed(account.week);
    return account;
  };
  const spendOne = ({ fiveHour, week }: Account) => {
    for (const window of [fiveHour, week]) {
      window.startedAt ??= clock.now();
      window.spent += 1;
    }
  };
  const endOf = ({ startedAt, span }: Window): number => (startedAt ?? clock.now()) + span;

  const usage = (person: Person): CannedAnswer => {
    const failure = failures.get(keyOf(person));
    if (failure !== undefined) return failure;
    const account = accountOf(keyOf(person));
    const full = account === null ? [] : fullOf(account);
    const told = (window: Window) => ({
      used_percent: usedPercent(window),
      limit_window_seconds: window.span / 1000,
      reset_after_seconds: Math.round((endOf(window) - clock.now()) / 1000),
      reset_at: Math.round(endOf(window) / 1000),
    });
    const body = {
      user_id: person.userId,
      account_id: person.accountId,
      email: person.email,
      plan_type: person.plan,
      rate_limit: {
        allowed: full.length === 0,
        limit_reached: full.length > 0,
        primary_window: account && told(account.fiveHour),
        secondary_window: account && told(account.week),
      },
      code_review_rate_limit: null,
      additional_rate_limits: null,
      credits: { has_credits: false, unlimited: false, balance: '0' },
      spend_control: { reached: false, individual_limit: null },
      rate_limit_reached_type: full.length > 0 ? { type: 'rate_limit_reached' } : null,
    };
    return { status: 200, body };
  };

  const judge = (call: ModelCall): Verdict => {
    const key = `${call.accountId}/${call.userId}`;
    const account = accountOf(key);
    if (account === null) return { refusal: null, headers: {} };
    const full = fullOf(account);
    const at = clock.now();
    calls.push({ at, who: key, refused: full.length > 0 });
    if (full.length === 0) spendOne(account);
    const headers = headersOf(account);
    if (full.length === 0) return { refusal: null, headers };
    const resetsAt = Math.max(...full.map(endOf));
    const error = {
      type: 'usage_limit_reached',
      message: 'The usage limit has been reached',
      plan_type: 'plus',
      resets_at: Math.round(resetsAt / 1000),
      resets_in_seconds: Math.round((resetsAt - at) / 1000),
    };
    return { refusal: { status: 429, body: { error } }, headers };
  };

  const headersOf = ({ fiveHour, week }: Account): Record<string, string> =>
    Object.fromEntries(
      [['primary', fiveHour] as const, ['secondary', week] as const].flatMap(([name, window]) => [
        [`x-codex-${name}-used-percent`, usedPercent(window).toFixed(1)],
        [`x-codex-${name}-window-minutes`, String(window.span / 60_000)],
        [`x-codex-${name}-reset-at`, String(Math.round(endOf(window) / 1000))],
      ]),
    );

  issuer.behaviour.now = clock.now;
  issuer.behaviour.limits = usage;
  issuer.model.judge = judge;
  return {
    clock,
    calls,
    give: (person, { fiveHour, week, weekSpent = 0, weekEndsIn }) => {
      const startedAt =
        weekEndsIn !== undefined ? clock.now() + weekEndsIn - WEEK : weekSpent > 0 ? clock.now() : null;
      accounts.set(keyOf(person), {
        fiveHour: { size: fiveHour, span: FIVE_HOURS, spent: 0, startedAt: null },
        week: { size: week, span: WEEK, spent: weekSpent, startedAt },
      });
    },
    left: (person) => {
      const account = accountOf(keyOf(person));
      if (account === null) throw new Error(`${person.email} has no limits`);
      const { fiveHour, week } = account;
      return {
        fiveHour: 100 - usedPercent(fiveHour),
        week: 100 - usedPercent(week),
        fiveHourResetsAt: endOf(fiveHour),
        weekResetsAt: endOf(week),
      };
    },
    spend: (person, number) => {
      for (let call = 0; call < number; call += 1) {
        const account = accountOf(keyOf(person));
        if (account !== null) spendOne(account);
      }
    },
    fail: (person, answer) => {
      if (answer === null) failures.delete(keyOf(person));
      else failures.set(keyOf(person), answer);
    },
  };
}

function fullOf({ fiveHour, week }: Account): readonly Window[] {
  return [fiveHour, week].filter(({ spent, size }) => spent >= size);
}

/** Whole, and 100 not before nothing is left. */
function usedPercent({ spent, size }: Window): number {
  return Math.min(100, Math.floor((spent * 100) / size));
}

function keyOf({ accountId, userId }: Pick<Person, 'accountId' | 'userId'>): string {
  return `${accountId}/${userId}`;
}
