import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { styleText } from 'node:util';
import { findCanary } from '../kit/canary.js';
import { makeState, type OpenClawState, readJson, SLOT } from '../kit/state.js';
import { codexAuthJson, type Login, makeLogin, people } from '../kit/tokens.js';

const colour = process.stdout.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb';
const style = (name: 'bold' | 'dim', text: string) => (colour ? styleText(name, text) : text);
const say = (text = '') => void process.stdout.write(`${text}\n`);

/**
 * The main job on a throw-away OpenClaw state: two made-up logins imported, routed, and read back by somebody else than
 * codex-router. Gives the exit status. @param root a folder that the caller removes.
 */
export async function demo(root: string, program: string): Promise<number> {
  const started = Date.now();
  const personal = makeLogin(people.alice);
  const work = makeLogin(people.bob);
  const codexHome = path.join(root, 'codex');
  for (const folder of [codexHome, path.join(root, 'home')])
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  const state = makeState(path.join(root, 'openclaw'), { release: '2026.5.7', slot: null });
  const written = [path.join(root, 'router'), path.join(root, 'config')];
  const env = {
    PATH: process.env.PATH ?? '',
    HOME: path.join(root, 'home'),
    XDG_CONFIG_HOME: written[1],
    CODEX_ROUTER_HOME: written[0],
    CODEX_HOME: codexHome,
    OPENCLAW_STATE_DIR: state.dir,
    // A demo must not touch the machine's keychain; the key goes into a key file of its own.
    CODEX_ROUTER_KEY: 'file',
    ...(colour ? { TERM: process.env.TERM ?? 'xterm' } : { NO_COLOR: '1' }),
  };
  const run = (...args: string[]): void => {
    say(style('bold', `$ codex-router ${args.join(' ')}`));
    const { status } = spawnSync(process.execPath, [program, ...args], {
      env,
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    if (status !== 0) throw new Error(`codex-router ${args.join(' ')} ended with ${status}`);
    say();
  };
  const logIn = (login: Login): void => {
    say(style('dim', `# codex login --device-auth, as ${login.email} (made up)`));
    writeFileSync(path.join(codexHome, 'auth.json'), codexAuthJson(login, '0.169'), { mode: 0o600 });
  };

  try {
    say(style('dim', '# a throw-away OpenClaw state in the layout of 2026.5.7, with an empty slot'));
    say(`OpenClaw's slot holds: ${occupant(state)}\n`);
    logIn(personal);
    run('import', '--take', '--alias', 'personal');
    logIn(work);
    run('import', '--take', '--alias', 'work');
    run('use', 'personal');
    say(`OpenClaw's slot holds: ${occupant(state)}\n`);
    run('use', 'work', '--dry-run');
    run('use', 'work');
    say(`OpenClaw's slot holds: ${occupant(state)}\n`);
    run('use', '-');
    say(`OpenClaw's slot holds: ${occupant(state)}\n`);
    run('list');
    run('status');
    const routed = occupant(state) === personal.email;
    const leaks = await findCanary(written);
    say(`the slot, read without codex-router, holds ${personal.email}: ${routed ? 'yes' : 'NO'}`);
    say(`tokens found in what codex-router wrote outside the slot: ${leaks.length}`);
    say(`done in ${((Date.now() - started) / 1000).toFixed(1)} s; the throw-away folder is removed`);
    return routed && leaks.length === 0 ? 0 : 1;
  } catch (error) {
    say(`the demo failed: ${error instanceof Error ? error.message : String(error)}`);
    return 1;
  }
}

/** Whose token lies in the slot, straight from OpenClaw's file: the independent reader of this demo. */
function occupant(state: OpenClawState): string {
  const store = readJson(state.paths().profiles) as { profiles?: Record<string, { access?: string }> };
  const access = store.profiles?.[SLOT]?.access;
  if (access === undefined) return 'nobody';
  const claims = JSON.parse(Buffer.from(access.split('.')[1] ?? '', 'base64url').toString('utf8'));
  return String(claims['https://api.openai.com/profile'].email);
}
