import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Sandbox } from './router.js';

/**
 * What a run does, in turn. `say`: prints a line. `wait`: until `go` is called with that word. `put`: writes the login into the file of its
 * CODEX_HOME at once; `half`: the first half of it. `die`: ends itself with the signal. `end`: ends with the status; else it ends with 0.
 */
export type Step =
  | readonly ['say' | 'wait' | 'put' | 'half', string]
  | readonly ['die', NodeJS.Signals]
  | readonly ['end', number];

/** How the stand-in was run. */
export interface StandInRun {
  readonly pid: number;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly home: string;
  /** Octal. */
  readonly mode: string;
  readonly config: string;
  /** The names of its environment. */
  readonly env: readonly string[];
}

/** A stand-in for `codex login`, on PATH in the sandbox, that does what it is told when it is told. */
export interface CodexStandIn {
  readonly file: string;
  /** The next runs do this. @param login the text of auth.json */
  does(steps: readonly Step[], login?: string): void;
  go(word: string): void;
  /** Null while it has not been run since `does`. */
  ran(): StandInRun | null;
  /** Whether it has come to this `wait`. */
  waits(word: string): boolean;
}

export function codexStandIn(box: Sandbox): CodexStandIn {
  const folder = path.join(box.root, 'stand-in');
  mkdirSync(folder);
  const at = (name: string) => path.join(folder, name);
  const file = path.join(box.bin, 'codex');
  writeFileSync(file, `#!/usr/bin/env node\n${script(folder)}`);
  chmodSync(file, 0o755);
  let round = 0;
  return {
    file,
    does: (steps, login = '') => {
      round += 1;
      writeFileSync(at('login'), login);
      writeFileSync(at('steps.json'), JSON.stringify({ round, steps }));
    },
    go: (word) => writeFileSync(at(`go-${round}-${word}`), ''),
    ran: () => {
      const found = at(`ran-${round}`);
      return existsSync(found) ? (JSON.parse(readFileSync(found, 'utf8')) as StandInRun) : null;
    },
    waits: (word) => existsSync(at(`waits-${round}-${word}`)),
  };
}

function script(folder: string): string {
  return `const fs = require('node:fs');
const at = (name) => ${JSON.stringify(`${folder}/`)} + name;
const { round, steps } = JSON.parse(fs.readFileSync(at('steps.json'), 'utf8'));
const login = fs.readFileSync(at('login'), 'utf8');
const home = process.env.CODEX_HOME;
fs.writeFileSync(at('ran.tmp'), JSON.stringify({
  pid: process.pid, args: process.argv.slice(2), cwd: process.cwd(), home,
  mode: (fs.statSync(home).mode & 0o777).toString(8),
  config: fs.readFileSync(home + '/config.toml', 'utf8'), env: Object.keys(process.env),
}));
fs.renameSync(at('ran.tmp'), at('ran-' + round));
const later = (ms) => new Promise((wake) => setTimeout(wake, ms));
void (async () => {
  for (const [what, arg] of steps) {
    if (what === 'say') console.log(arg);
    if (what === 'put') {
      fs.writeFileSync(home + '/.new', login, { mode: 0o600 });
      fs.renameSync(home + '/.new', home + '/' + arg);
    }
    if (what === 'half') fs.writeFileSync(home + '/' + arg, login.slice(0, login.length / 2), { mode: 0o600 });
    if (what === 'wait') {
      fs.writeFileSync(at('waits-' + round + '-' + arg), '');
      while (!fs.existsSync(at('go-' + round + '-' + arg))) await later(20);
    }
    if (what === 'die') { process.kill(process.pid, arg); await later(10000); }
    if (what === 'end') process.exit(arg);
  }
})();
`;
}
