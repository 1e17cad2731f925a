import { type ErrorCode, EXIT_OF, RouterError } from '../../errors.js';
import type { Ran } from './within.js';

/** The document of a command that was run. @throws the error it ended with */
export function raise<Document>(ran: Ran<Document>): Document {
  if (ran.ok) return ran.document;
  const { code, message, hint, candidates } = ran.error;
  throw new RouterError(parseCode(code), message, {
    ...(hint !== null && { hint }),
    ...(candidates !== undefined && { candidates }),
  });
}

function parseCode(code: string): ErrorCode {
  return Object.hasOwn(EXIT_OF, code) ? (code as ErrorCode) : 'BUG';
}
