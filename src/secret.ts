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

  equals(other: Secret): boolean {
    return this.#text === other.#text;
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
