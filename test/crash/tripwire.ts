/** Thrown by everything a process does after the point at which it was killed. */
export class Killed extends Error {}

/** `torn`: the write itself is cut in half, where it consists of several files. */
export type Cut = 'before' | 'after' | 'torn';

export interface Trip {
  /** Which write of the command it is, 0 the first; a command may make fewer. */
  readonly at: number;
  readonly cut: Cut;
}

/** How one kind of write is carried out in part; it may do all of it where it has no parts. */
export type Tear = (work: () => Promise<unknown>) => Promise<void>;

export interface Tripwire {
  /** Whether the command was killed. */
  readonly dead: boolean;
  /** What other programs do comes in between: called before each call, with its number, and among the writes only, from 0. */
  onCall: (call: number, write: number | null) => Promise<void>;
  /** `port` as the command sees it; `writes` are its methods that change something, each with the way to tear it. */
  guard<Port extends object>(port: Port, writes: { readonly [method: string]: Tear | null }): Port;
}

/** Every port that is guarded by it dies at the same moment; what a `catch` or `finally` then tries fails too, as in a killed process. */
export function tripwire(trip: Trip | null): Tripwire {
  let dead = false;
  let writes = 0;
  let calls = 0;
  const wire: Tripwire = {
    get dead() {
      return dead;
    },
    onCall: async () => undefined,
    guard(port, tears) {
      const handler: ProxyHandler<typeof port> = {
        get(target, name) {
          const value: unknown = Reflect.get(target, name);
          if (typeof value !== 'function' || typeof name !== 'string') return value;
          const call = (...args: readonly unknown[]): unknown => Reflect.apply(value, target, args);
          if (SYNCHRONOUS.has(name)) return call;
          const tear = tears[name];
          return async (...args: readonly unknown[]) => {
            await enter(tear === undefined ? null : writes);
            if (tear === undefined) return call(...args);
            return write(async () => call(...args), tear);
          };
        },
      };
      return new Proxy(port, handler);
    },
  };

  async function enter(write: number | null): Promise<void> {
    if (dead) throw new Killed();
    calls += 1;
    await wire.onCall(calls, write);
  }

  async function write(work: () => Promise<unknown>, tear: Tear | null): Promise<unknown> {
    const isIt = trip?.at === writes;
    writes += 1;
    if (trip === null || !isIt) return work();
    if (trip.cut === 'after') await work();
    if (trip.cut === 'torn') await (tear ?? whole)(work);
    dead = true;
    throw new Killed();
  }

  return wire;
}

const whole: Tear = async (work) => {
  await work();
};

/** Methods of the ports that answer at once and write nothing. */
const SYNCHRONOUS = new Set(['fingerprint', 'pinsOf', 'labelFor']);
