import { HOUR, type Limits } from '../kit/limits.js';
import type { Person } from '../kit/tokens.js';

const MINUTE = 60_000;

/**
 * What the limits demand, by the rules as docs/failover.md gives them and by nothing of the code: leave at 10 % of five hours or 5 % of a week, for
 * the first in the order with 15 % more than that of each; not before half an hour, nor for one that was left less than an hour ago or
 * answered less than twice since; two an hour at most.
 */
export class Demand {
  readonly people: readonly Person[];
  readonly #limits: Limits;
  readonly #left = new Map<Person, { readonly at: number; reads: number }>();
  readonly #switches: number[] = [];

  /** @param people best first */
  constructor(limits: Limits, people: readonly Person[]) {
    this.#limits = limits;
    this.people = people;
  }

  /** Whom a round at this time has to take; null for nobody. @param now ms epoch */
  next(current: Person, now: number): Person | null {
    const { fiveHour, week } = this.#limits.left(current);
    if (fiveHour > 10 && week > 5) return null;
    for (const [person, left] of this.#left) if (person !== current) left.reads += 1;
    const lately = this.#switches.filter((at) => now - at < HOUR);
    const isSettled = lately.every((at) => now - at >= 30 * MINUTE);
    if (!isSettled || lately.length >= 2) return null;
    return this.people.find((person) => person !== current && this.#isFit(person, now)) ?? null;
  }

  /** `next` was carried out. */
  moved(from: Person, now: number): void {
    this.#switches.push(now);
    this.#left.set(from, { at: now, reads: 0 });
  }

  #isFit(person: Person, now: number): boolean {
    const { fiveHour, week } = this.#limits.left(person);
    const left = this.#left.get(person);
    const isRested = left === undefined || (now - left.at >= HOUR && left.reads >= 2);
    return isRested && fiveHour > 25 && week > 20;
  }
}
