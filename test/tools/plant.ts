import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CANARY, codexAuthJson, type Login, loginOf, type PersonName, people } from '../kit/tokens.js';

const FIXTURES = fileURLToPath(new URL('../fixtures/tools/', import.meta.url));

export type Logins = { readonly [name in PersonName]: Login };

/** A login of everybody. */
export function everybody(): Logins {
  return Object.fromEntries(
    (Object.keys(people) as PersonName[]).map((name) => [name, loginOf(name)]),
  ) as unknown as Logins;
}

/** Writes the fixture of a tool below `folder`, with these logins in it; the folder. */
export function plant(tool: string, folder: string, logins: Logins): string {
  const source = join(FIXTURES, tool);
  for (const found of readdirSync(source, { recursive: true, withFileTypes: true })) {
    if (!found.isFile()) continue;
    const path = join(found.parentPath ?? found.path, found.name);
    const target = join(folder, filled(path.slice(source.length), logins));
    mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
    writeFileSync(target, filled(readFileSync(path, 'utf8'), logins), { mode: 0o600 });
  }
  return folder;
}

function filled(text: string, logins: Logins): string {
  return text.replace(/\{\{([a-z-]+)(?:\.([A-Za-z]+))?\}\}/g, (_all, name: string, field?: string) => {
    if (name === 'canary') return CANARY;
    const login = logins[name as PersonName];
    if (field === 'authJson') return codexAuthJson(login);
    // codex-auth's name for the file of an account.
    if (field === 'key') return Buffer.from(`${login.userId}::${login.accountId}`).toString('base64url');
    return String(login[field as keyof Login]);
  });
}
