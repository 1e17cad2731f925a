import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Env } from './folders.js';

/**
 * What is behind a keychain that failed, as far as it can be seen from outside without asking anybody anything.
 * `silent`: the service is there and did not answer within two seconds.
 */
export type SecretServiceState = 'no-bus' | 'no-service' | 'no-collection' | 'locked' | 'unlocked' | 'silent';

/**
 * Looks at the Secret Service of the session bus (freedesktop Secret Service 0.2). It speaks D-Bus itself, because GLib's
 * error texts are translated and carry no code. Starts nothing, unlocks nothing, never throws.
 */
export async function observeSecretService(env: Env): Promise<SecretServiceState> {
  const socket = await connectToBus(env);
  if (socket === null) return 'no-bus';
  const patience = AbortSignal.timeout(2000);
  patience.addEventListener('abort', () => socket.destroy());
  try {
    return await ask(new Bus(socket, env));
  } catch {
    return patience.aborted ? 'silent' : 'no-bus';
  } finally {
    socket.destroy();
  }
}

const BUS = {
  destination: 'org.freedesktop.DBus',
  path: '/org/freedesktop/DBus',
  interface: 'org.freedesktop.DBus',
};
const SECRETS = 'org.freedesktop.secrets';

async function ask(bus: Bus): Promise<SecretServiceState> {
  await bus.signIn();
  const owned = await bus.call({ ...BUS, member: 'NameHasOwner', texts: [SECRETS] });
  if (owned?.readUInt32LE(0) !== 1) return 'no-service';
  const alias = await bus.call({
    destination: SECRETS,
    path: '/org/freedesktop/secrets',
    interface: 'org.freedesktop.Secret.Service',
    member: 'ReadAlias',
    texts: ['default'],
  });
  const path = alias?.toString('utf8', 4, 4 + alias.readUInt32LE(0)) ?? '/';
  if (path === '/') return 'no-collection';
  const locked = await bus.call({
    destination: SECRETS,
    path,
    interface: 'org.freedesktop.DBus.Properties',
    member: 'Get',
    texts: ['org.freedesktop.Secret.Collection', 'Locked'],
  });
  // A variant: the signature `b` (1 + 1 + NUL), padding to 4, the boolean.
  if (locked === null) return 'no-collection';
  return locked.readUInt32LE(4) === 1 ? 'locked' : 'unlocked';
}

/** The first address of the session bus that takes a connection; null when none does. */
async function connectToBus(env: Env): Promise<Socket | null> {
  for (const path of busSockets(env)) {
    const socket = await new Promise<Socket | null>((resolve) => {
      const trying = connect(path);
      trying.once('connect', () => resolve(trying));
      trying.once('error', () => resolve(null));
    });
    if (socket !== null) return socket;
  }
  return null;
}

/** Unix sockets only (D-Bus specification, "Server addresses"); a missing variable means `$XDG_RUNTIME_DIR/bus`. */
function busSockets(env: Env): string[] {
  const address = env.DBUS_SESSION_BUS_ADDRESS;
  if (!address) return env.XDG_RUNTIME_DIR ? [join(env.XDG_RUNTIME_DIR, 'bus')] : [];
  return address.split(';').flatMap((one) => {
    const found = /^unix:(?:.*,)?(path|abstract)=([^,]+)/.exec(one);
    if (found?.[2] === undefined) return [];
    const path = decoded(found[2]);
    if (path === null) return [];
    return [found[1] === 'abstract' ? `\0${path}` : path];
  });
}

/** Null for what no bus writes, say `%zz`. */
function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

interface Call {
  readonly destination: string;
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly texts: readonly string[];
}

/** Just enough of D-Bus to call methods that take strings. */
class Bus {
  readonly #socket: Socket;
  readonly #uid: string;
  #received = Buffer.alloc(0);
  #ended = false;
  #wake: () => void = () => undefined;
  #serial = 0;

  constructor(socket: Socket, env: Env) {
    this.#socket = socket;
    this.#uid = String(process.getuid?.() ?? env.UID ?? 0);
    socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
    const end = () => {
      this.#ended = true;
      this.#wake();
    };
    socket.on('error', end).on('close', end);
  }

  async signIn(): Promise<void> {
    this.#socket.write(`\0AUTH EXTERNAL ${Buffer.from(this.#uid).toString('hex')}\r\n`);
    const line = await this.#take((bytes) => bytes.indexOf('\r\n') + 2 || null);
    if (!line.toString('latin1').startsWith('OK ')) throw new Error('refused');
    this.#socket.write('BEGIN\r\n');
    await this.call({ ...BUS, member: 'Hello', texts: [] });
  }

  /** The body of the reply, or null when it is an error. */
  async call(call: Call): Promise<Buffer | null> {
    this.#serial += 1;
    this.#socket.write(encodeCall(call, this.#serial));
    for (;;) {
      const message = await this.#take(messageLength);
      const fields = message.readUInt32LE(12);
      if (replySerial(message, fields) !== this.#serial) continue;
      return message[1] === 2 ? message.subarray(align(16 + fields, 8)) : null;
    }
  }

  async #take(length: (bytes: Buffer) => number | null): Promise<Buffer> {
    for (;;) {
      const wanted = length(this.#received);
      if (wanted !== null && wanted > 1 && this.#received.length >= wanted) {
        const taken = this.#received.subarray(0, wanted);
        this.#received = this.#received.subarray(wanted);
        return taken;
      }
      if (this.#ended) throw new Error('closed');
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

function encodeCall(call: Call, serial: number): Buffer {
  const body = encodeTexts(call.texts);
  const fields: Buffer[] = [
    field(1, 'o', call.path),
    field(2, 's', call.interface),
    field(3, 's', call.member),
  ];
  fields.push(field(6, 's', call.destination));
  if (call.texts.length > 0) fields.push(field(8, 'g', 's'.repeat(call.texts.length)));
  const packed = fields.reduce((all, one) => Buffer.concat([pad(all, 8), one]), Buffer.alloc(0));
  const head = Buffer.alloc(16);
  // Little-endian, a method call, "do not start the service", protocol version 1.
  head.set([0x6c, 1, 2, 1]);
  head.writeUInt32LE(body.length, 4);
  head.writeUInt32LE(serial, 8);
  head.writeUInt32LE(packed.length, 12);
  return Buffer.concat([pad(Buffer.concat([head, packed]), 8), body]);
}

function encodeTexts(texts: readonly string[]): Buffer {
  return texts.reduce((all, text) => Buffer.concat([pad(all, 4), encodeText(text)]), Buffer.alloc(0));
}

function encodeText(text: string): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(Buffer.byteLength(text));
  return Buffer.concat([length, Buffer.from(`${text}\0`)]);
}

function field(code: number, type: 'o' | 's' | 'g', text: string): Buffer {
  const head = Buffer.from([code, 1, type.charCodeAt(0), 0]);
  const value =
    type === 'g' ? Buffer.concat([Buffer.from([text.length]), Buffer.from(`${text}\0`)]) : encodeText(text);
  return Buffer.concat([head, value]);
}

function messageLength(bytes: Buffer): number | null {
  if (bytes.length < 16) return null;
  return align(16 + bytes.readUInt32LE(12), 8) + bytes.readUInt32LE(4);
}

/** Header field 5 of a reply; null when the message is not one. */
function replySerial(message: Buffer, fields: number): number | null {
  let at = 16;
  while (at < 16 + fields) {
    at = align(at, 8);
    const code = message[at];
    const type = String.fromCharCode(message[at + 2] ?? 0);
    at += 4;
    if (code === 5) return message.readUInt32LE(at);
    if (type === 'u') at += 4;
    else if (type === 'g') at += (message[at] ?? 0) + 2;
    else at += message.readUInt32LE(at) + 5;
  }
  return null;
}

function align(length: number, to: number): number {
  return Math.ceil(length / to) * to;
}

function pad(bytes: Buffer, to: number): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(align(bytes.length, to) - bytes.length)]);
}
