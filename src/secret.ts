import { createHash, timingSafeEqual } from 'node:crypto';
import { inspect } from 'node:util';

/**
 * A string that cannot be shown by accident: String(), JSON.stringify and util.inspect all give `[secret]`.
 * `reveal()` is the only way to the text; grep for it to audit every place that touches a token.
 */
export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  reveal(): string {
    return this.#text;
  }

  /** In constant time, whatever their lengths: an OAuth state must not be found by trying (RFC 9700, section 4.7.1). */
  equals(other: Secret): boolean {
    const digest = (text: string) => createHash('sha256').update(text).digest();
    return timingSafeEqual(digest(this.#text), digest(other.#text));
  }

  toString(): string {
    return '[secret]';
  }

  toJSON(): string {
    return '[secret]';
  }

  [inspect.custom](): string {
    return '[secret]';
  }
}
