import * as z from 'zod/mini';
import type { Json } from '../json.js';
import {
  FAILOVER_DEFAULTS,
  FAILOVER_RANGES,
  type FailoverNotify,
  type FailoverSettings,
  THRESHOLD_RANGE,
} from '../router/failover-settings.js';

interface Range {
  readonly least: number;
  readonly most: number;
}

const MOST_LISTED = 100;

/** Without what ends a line or cannot be seen on one. */
const TEXT = /^(?!\s)[^\p{Cc}\p{Zl}\p{Zp}]{1,420}(?<!\s)$/u;

const text = z.string().check(z.regex(TEXT));
const list = z.optional(z.array(text).check(z.maxLength(MOST_LISTED)));
const whole = ({ least, most }: Range) => z.optional(z.int().check(z.gte(least), z.lte(most)));

/** The member `failover` of config.json. Members of another version are left as they are. */
export const FAILOVER_FILE = z
  .looseObject({
    sessions: list,
    order: list,
    thresholdPercent: z.optional(
      z.looseObject({ fiveHour: whole(THRESHOLD_RANGE), weekly: whole(THRESHOLD_RANGE) }),
    ),
    hysteresisPercent: whole(FAILOVER_RANGES.hysteresisPercent),
    dwellMinutes: whole(FAILOVER_RANGES.dwellMinutes),
    restMinutes: whole(FAILOVER_RANGES.restMinutes),
    quietSeconds: whole(FAILOVER_RANGES.quietSeconds),
    maxSwitchesPerHour: whole(FAILOVER_RANGES.maxSwitchesPerHour),
    hardFailures: whole(FAILOVER_RANGES.hardFailures),
    goodReads: whole(FAILOVER_RANGES.goodReads),
    intervalSeconds: whole(FAILOVER_RANGES.intervalSeconds),
    notify: z.optional(
      z.nullable(
        z.looseObject({
          command: z.optional(z.array(text).check(z.minLength(1), z.maxLength(MOST_LISTED))),
          message: z.optional(z.looseObject({ channel: text, target: text })),
        }),
      ),
    ),
  })
  .check(
    z.superRefine((file, context) => {
      const { thresholdPercent, hysteresisPercent } = settingsOf(file);
      // Nobody could ever have more left than that.
      if (Math.max(thresholdPercent.fiveHour, thresholdPercent.weekly) + hysteresisPercent < 100) return;
      context.issues.push({ code: 'custom', input: file, path: ['hysteresisPercent'], message: TOO_MUCH });
    }),
  );

const TOO_MUCH = 'too much together';

export type FailoverFile = z.infer<typeof FAILOVER_FILE>;

const MINUTE = 60_000;
const SECOND = 1000;

/** What the file says, and the defaults for the rest. */
export function settingsOf(file: FailoverFile): FailoverSettings {
  const given = FAILOVER_DEFAULTS;
  const ms = (value: number | undefined, unit: number, otherwise: number) =>
    value === undefined ? otherwise : value * unit;
  return {
    sessions: [...new Set(file.sessions ?? given.sessions)],
    order: [...new Set(file.order ?? given.order)],
    thresholdPercent: {
      fiveHour: file.thresholdPercent?.fiveHour ?? given.thresholdPercent.fiveHour,
      weekly: file.thresholdPercent?.weekly ?? given.thresholdPercent.weekly,
    },
    hysteresisPercent: file.hysteresisPercent ?? given.hysteresisPercent,
    dwellMs: ms(file.dwellMinutes, MINUTE, given.dwellMs),
    restMs: ms(file.restMinutes, MINUTE, given.restMs),
    quietMs: ms(file.quietSeconds, SECOND, given.quietMs),
    maxSwitchesPerHour: file.maxSwitchesPerHour ?? given.maxSwitchesPerHour,
    hardFailures: file.hardFailures ?? given.hardFailures,
    goodReads: file.goodReads ?? given.goodReads,
    intervalMs: ms(file.intervalSeconds, SECOND, given.intervalMs),
    notify: notifyOf(file.notify),
  };
}

/** Null where neither way is given. */
function notifyOf(file: FailoverFile['notify']): FailoverNotify | null {
  const { command, message } = file ?? {};
  if (command === undefined && message === undefined) return null;
  return {
    ...(command !== undefined && { command }),
    ...(message !== undefined && { message: { channel: message.channel, target: message.target } }),
  };
}

/** One setting as `config get` and `config set` name it. */
export interface FailoverMember {
  /** Where it lies in the member `failover`. */
  readonly path: readonly [string] | readonly [string, string];
  /** Completes "failover.x is ...". */
  readonly takes: string;
  /** For the help of `config set`. */
  readonly example: readonly [words: string, says: string];
  /** The value for the file, null for one that is taken out; undefined for words that are none. */
  parse(words: readonly string[]): Json | undefined;
  /** What `config set` would take to set it so. */
  show(settings: FailoverSettings): string;
}

const NONE = 'none';

const lists = (
  name: 'sessions' | 'order',
  takes: string,
  example: FailoverMember['example'],
): FailoverMember => ({
  path: [name],
  takes: `${takes}, ${MOST_LISTED} at most, or none`,
  example,
  parse: (words) => (isNone(words) ? [] : [...words]),
  show: (settings) => shownWords(settings[name]),
});

const numbers = (
  path: FailoverMember['path'],
  { least, most }: Range,
  value: (settings: FailoverSettings) => number,
  says: string,
): FailoverMember => ({
  path,
  takes: `a whole number from ${least} to ${most}`,
  example: [String(value(FAILOVER_DEFAULTS)), says],
  parse: ([word = '', ...more]) => (more.length === 0 && /^\d{1,6}$/.test(word) ? Number(word) : undefined),
  show: (settings) => String(value(settings)),
});

/** Every setting of failover, in the order they are shown in. */
export const FAILOVER_MEMBERS: readonly FailoverMember[] = [
  lists('sessions', 'a list of session keys', [
    'agent:main:main',
    'look after this session unless others are named',
  ]),
  lists('order', 'a list of identities, best first', [
    'work personal',
    'go to these only, work before personal',
  ]),
  numbers(
    ['thresholdPercent', 'fiveHour'],
    THRESHOLD_RANGE,
    ({ thresholdPercent }) => thresholdPercent.fiveHour,
    'leave one whose 5 h window has 10 % or less left',
  ),
  numbers(
    ['thresholdPercent', 'weekly'],
    THRESHOLD_RANGE,
    ({ thresholdPercent }) => thresholdPercent.weekly,
    'leave one whose week has 5 % or less left',
  ),
  numbers(
    ['hysteresisPercent'],
    FAILOVER_RANGES.hysteresisPercent,
    ({ hysteresisPercent }) => hysteresisPercent,
    'take one only with more than this left above the threshold',
  ),
  numbers(
    ['dwellMinutes'],
    FAILOVER_RANGES.dwellMinutes,
    ({ dwellMs }) => dwellMs / MINUTE,
    'stay at least so long',
  ),
  numbers(
    ['restMinutes'],
    FAILOVER_RANGES.restMinutes,
    ({ restMs }) => restMs / MINUTE,
    'after that, come back to the one left only so much later',
  ),
  numbers(
    ['quietSeconds'],
    FAILOVER_RANGES.quietSeconds,
    ({ quietMs }) => quietMs / SECOND,
    'switch only where no turn has been for so long',
  ),
  numbers(
    ['maxSwitchesPerHour'],
    FAILOVER_RANGES.maxSwitchesPerHour,
    ({ maxSwitchesPerHour }) => maxSwitchesPerHour,
    'no more than two switches an hour',
  ),
  numbers(
    ['hardFailures'],
    FAILOVER_RANGES.hardFailures,
    ({ hardFailures }) => hardFailures,
    'leave one after two failed reads in a row',
  ),
  numbers(
    ['goodReads'],
    FAILOVER_RANGES.goodReads,
    ({ goodReads }) => goodReads,
    'come back to one after two good reads in a row',
  ),
  numbers(
    ['intervalSeconds'],
    FAILOVER_RANGES.intervalSeconds,
    ({ intervalMs }) => intervalMs / SECOND,
    'how often failover watch looks',
  ),
  {
    path: ['notify', 'command'],
    takes: 'a program and its arguments, or none',
    example: ['notify-send codex-router', 'run this at a switch'],
    parse: (words) => (isNone(words) ? null : [...words]),
    show: ({ notify }) => shownWords(notify?.command ?? []),
  },
  {
    path: ['notify', 'message'],
    takes: 'a channel and a target, for OpenClaw to send a message to, or none',
    example: ['telegram 123456789', 'have OpenClaw send a message there'],
    parse: (words) => {
      const [channel, target, ...more] = words;
      if (isNone(words)) return null;
      return channel === undefined || target === undefined || more.length > 0
        ? undefined
        : { channel, target };
    },
    show: ({ notify }) => {
      const { channel, target } = notify?.message ?? {};
      return channel === undefined || target === undefined ? NONE : shownWords([channel, target]);
    },
  },
];

function isNone(words: readonly string[]): boolean {
  return words.length === 1 && words[0] === NONE;
}

function shownWords(words: readonly string[]): string {
  return words.length === 0 ? NONE : words.join(' ');
}

/** `failover.thresholdPercent.weekly` */
export function nameOf({ path }: FailoverMember): string {
  return `failover.${path.join('.')}`;
}

/**
 * What is wrong with a member, as a clause that names it: "failover.dwellMinutes is a whole number from 1 to 1440".
 * @param issue what zod found: a path in the member `failover`, and a message
 */
export function failoverComplaint(issue: {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}): string {
  if (issue.message === TOO_MUCH) {
    return 'failover.hysteresisPercent and each of failover.thresholdPercent stay below 100 together';
  }
  const names = issue.path.map(String);
  const member = FAILOVER_MEMBERS.find(({ path }) => path.every((name, place) => names[place] === name));
  if (member !== undefined) return `${nameOf(member)} is ${member.takes}`;
  return `${['failover', ...names].join('.')} is an object`;
}
