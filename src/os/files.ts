import {
  closeSync,
  constants,
  type Dirent,
  fchmodSync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  realpathSync,
  renameSync,
  rmdirSync,
  type Stats,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { RouterError } from '../errors.js';

/**
 * The calls of node:fs/promises that codex-router makes, with their names, results and errors, carried out at once on this
 * thread. A command touches a few dozen small files one after another: loading node:fs/promises and handing each call to
 * a thread takes longer than the calls (docs/decisions/0007-files-at-once.md). No signal and no timer gets through
 * meanwhile, so nothing here waits for the other end of a pipe: every file is opened with O_NONBLOCK, which a regular file
 * does not notice, and `readFile` reads no other kind.
 */
export { constants };

/** An open file; whoever opened it closes it. */
export interface FileHandle {
  stat(): Promise<Stats>;
  readFile(): Promise<Buffer>;
  readFile(encoding: 'utf8'): Promise<string>;
  /** One read(2) from `position`, null for a pipe. On a pipe: EAGAIN when it holds nothing yet, 0 bytes at its end. */
  read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number | null,
  ): Promise<{ readonly bytesRead: number; readonly buffer: Buffer }>;
  /** From the current position; appends where the file was opened so. */
  writeFile(text: string | Uint8Array): Promise<void>;
  sync(): Promise<void>;
  datasync(): Promise<void>;
  /** The permission bits of what is open, whatever its name means by now. */
  chmod(mode: number): Promise<void>;
  close(): Promise<void>;
}

const FLAGS = {
  r: constants.O_RDONLY,
  a: constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT,
  wx: constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL,
} as const;
// Windows has no such flag, whatever the types say.
const AT_ONCE = constants.O_NONBLOCK ?? 0;

/** ENXIO for a pipe that is to be written and that nobody reads. */
export async function open(
  path: string,
  flags: keyof typeof FLAGS | number,
  mode?: number,
): Promise<FileHandle> {
  const fd = openSync(path, (typeof flags === 'number' ? flags : FLAGS[flags]) | AT_ONCE, mode);
  async function contents(): Promise<Buffer>;
  async function contents(encoding: 'utf8'): Promise<string>;
  async function contents(encoding?: 'utf8'): Promise<Buffer | string> {
    return readFileSync(fd, encoding);
  }
  return {
    stat: async () => fstatSync(fd),
    readFile: contents,
    read: async (buffer, offset, length, position) => ({
      bytesRead: readSync(fd, buffer, offset, length, position),
      buffer,
    }),
    writeFile: async (text) => writeFileSync(fd, text),
    sync: async () => fsyncSync(fd),
    datasync: async () => fdatasyncSync(fd),
    chmod: async (mode) => fchmodSync(fd, mode),
    close: async () => closeSync(fd),
  };
}

/** The whole of a regular file. @throws IO for a pipe, a device or a folder; the system's error for the rest. */
export async function readFile(path: string): Promise<Buffer>;
export async function readFile(path: string, encoding: 'utf8'): Promise<string>;
export async function readFile(path: string, encoding?: 'utf8'): Promise<Buffer | string> {
  const fd = openSync(path, constants.O_RDONLY | AT_ONCE);
  try {
    if (fstatSync(fd).isFile()) return readFileSync(fd, encoding);
  } finally {
    closeSync(fd);
  }
  throw new RouterError('IO', `cannot read ${path}: it is not a regular file`, {
    hint: 'put a plain file there, or a link to one',
  });
}

export async function readdir(path: string): Promise<string[]>;
export async function readdir(path: string, options: { readonly withFileTypes: true }): Promise<Dirent[]>;
export async function readdir(
  path: string,
  options?: { readonly withFileTypes: true },
): Promise<string[] | Dirent[]> {
  return options === undefined ? readdirSync(path) : readdirSync(path, options);
}

export async function stat(path: string): Promise<Stats> {
  return statSync(path);
}

export async function lstat(path: string): Promise<Stats> {
  return lstatSync(path);
}

export async function realpath(path: string): Promise<string> {
  return realpathSync.native(path);
}

export async function readlink(path: string): Promise<string> {
  return readlinkSync(path);
}

export async function mkdir(
  path: string,
  options: { readonly recursive: boolean; readonly mode: number },
): Promise<void> {
  mkdirSync(path, options);
}

export async function rename(from: string, to: string): Promise<void> {
  renameSync(from, to);
}

export async function link(from: string, to: string): Promise<void> {
  linkSync(from, to);
}

export async function unlink(path: string): Promise<void> {
  unlinkSync(path);
}

/** An empty folder only. */
export async function rmdir(path: string): Promise<void> {
  rmdirSync(path);
}
