import * as z from 'zod';
import * as contract from '../../src/cli/contract.js';

/** File name in docs/schemas -> the zod type it is made from. */
export const DOCUMENTS = {
  error: contract.ErrorDocument,
  use: contract.UseDocument,
  list: contract.ListDocument,
  status: contract.StatusDocument,
  alias: contract.AliasDocument,
  remove: contract.RemoveDocument,
  import: contract.ImportDocument,
} as const;

/** The text of docs/schemas/<name>.json as it must be. */
export function schemaText(name: keyof typeof DOCUMENTS): string {
  const schema = z.toJSONSchema(DOCUMENTS[name], { target: 'draft-2020-12' });
  return `${JSON.stringify({ title: `codex-router ${name} --json`, ...schema }, null, 2)}\n`;
}
