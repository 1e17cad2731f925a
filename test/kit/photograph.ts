import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import path from 'node:path';

/** Names, times, modes, inodes and bytes of everything in a folder: equal when nobody has written there. */
export function photograph(folder: string): string {
  const names = ['.', ...readdirSync(folder, { recursive: true, encoding: 'utf8' })].sort();
  const seen = names.map((name) => {
    const file = path.join(folder, name);
    const about = lstatSync(file);
    const { mode, mtimeMs, ino } = about;
    const held = about.isSymbolicLink()
      ? readlinkSync(file)
      : about.isFile()
        ? readFileSync(file, 'base64')
        : null;
    return [name, mode, mtimeMs, ino, held];
  });
  return JSON.stringify(seen);
}
