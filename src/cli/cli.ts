import { EXIT, type ExitStatus } from '../errors.js';
import type { Env } from '../os/folders.js';
import type { Interruption } from './interruption.js';
import { paint } from './paint.js';
import type { Terminal } from './terminal.js';

/** What every command is given: the process's surroundings, and the two ways to speak. */
export interface Cli {
  readonly env: Env;
  readonly platform: NodeJS.Platform;
  readonly json: boolean;
  readonly terminal: Terminal;
  readonly interruption: Interruption;
  readonly now: () => number;
  /**
   * Talk: progress, warnings, what to do next. Goes to stderr; with --json as one JSON line.
   * @param facts for programs: further members of the JSON line, not shown otherwise.
   */
  say(line: string, facts?: object): void;
  /** Data: the one document with --json, else the text. Called once by a command that succeeds. */
  print(document: object, text: () => string): void;
  /** Data that comes bit by bit, without an end that is known: with --json a document in a line of its own each time. */
  stream(document: object, text: () => string): void;
  /** The exit status of a command that has printed its document and found something in it that a script must notice. */
  exitWith(status: ExitStatus): void;
  /** What `exitWith` was told last; `EXIT.ok` otherwise. */
  readonly status: ExitStatus;
}

export function cliOf(
  env: Env,
  platform: NodeJS.Platform,
  json: boolean,
  terminal: Terminal,
  interruption: Interruption,
): Cli {
  let status: ExitStatus = EXIT.ok;
  return {
    env,
    platform,
    json,
    terminal,
    interruption,
    now: Date.now,
    get status() {
      return status;
    },
    exitWith: (told) => {
      status = told;
    },
    say: (line, facts) => terminal.say(json ? encodeLine({ message: line, ...facts }) : line),
    stream: (document, text) => terminal.write(`${json ? encodeLine(document) : text()}\n`),
    print: (document, text) => terminal.write(`${json ? encodeDocument(document) : text()}\n`),
  };
}

/** JSON that is inert on a terminal: control, bidirectional and invisible characters are \u-escaped, nothing is lost. */
export function encodeDocument(document: object): string {
  return inert(JSON.stringify(document, null, 2));
}

function encodeLine(line: object): string {
  return inert(JSON.stringify(line));
}

function inert(json: string): string {
  return json.replace(/[\u007f-\u009f\u2028\u2029]|\p{Cf}/gu, (character) =>
    [...Array(character.length).keys()]
      .map((index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`)
      .join(''),
  );
}

export function painter(cli: Cli): ReturnType<typeof paint> {
  return paint(cli.terminal.colour);
}
