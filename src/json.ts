/** A JSON value as parsed: what codex-router carries through without interpreting it. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type JsonObject = { readonly [key: string]: Json };

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** @throws SyntaxError */
export function parseJson(text: string): Json {
  return JSON.parse(text) as Json;
}

/** The object that a text holds; null when it is no JSON, or holds something else. */
export function parseJsonObject(text: string): JsonObject | null {
  try {
    const value = parseJson(text);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}
