import { readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import path from 'node:path';
import t from 'tap';
import { parseConfig } from '../../plugin/config.js';
import { PROJECT, router, sandbox } from '../kit/router.js';

const BUILT = path.join(PROJECT, 'dist', 'plugin');
const json = (...names: string[]) => JSON.parse(readFileSync(path.join(...names), 'utf8'));

t.test('the built folder is a plugin of this release', async (t) => {
  t.strictSame(readdirSync(BUILT).sort(), ['index.js', 'openclaw.plugin.json', 'package.json', 'skills']);
  const { version } = json(PROJECT, 'package.json');
  const manifest = json(BUILT, 'openclaw.plugin.json');
  t.match(manifest, { id: 'codex-router', version, activation: { onStartup: true }, skills: ['./skills'] });
  t.match(json(BUILT, 'package.json'), { version, type: 'module', openclaw: { extensions: ['./index.js'] } });
  t.equal(
    readFileSync(path.join(BUILT, 'skills', 'codex-router', 'SKILL.md'), 'utf8'),
    readFileSync(path.join(PROJECT, 'skill', 'SKILL.md'), 'utf8'),
  );
});

t.test('what the manifest says of the config is what is read', async (t) => {
  const { configSchema, uiHints } = json(BUILT, 'openclaw.plugin.json');
  const good: Record<string, unknown> = {
    program: '/opt/codex-router.js',
    timeoutSeconds: 30,
    allowSenders: ['telegram:1001'],
    allowChannels: ['telegram'],
    groups: 'look',
    showEmailsInGroups: true,
    askBeforeMovingOthers: false,
  };
  t.equal(configSchema.additionalProperties, false);
  t.strictSame(Object.keys(configSchema.properties).sort(), Object.keys(good).sort());
  t.strictSame(Object.keys(uiHints).sort(), Object.keys(good).sort(), 'each has a label');
  const { program, timeoutMs, ...rest } = parseConfig(good);
  t.strictSame({ program, timeoutSeconds: timeoutMs / 1000, ...rest }, good);
  for (const name of Object.keys(good)) t.throws(() => parseConfig({ [name]: { not: 'this' } }), name);
  t.throws(() => parseConfig({ timeoutSeconds: 1 }), /5 to 600/);
  t.match(parseConfig(undefined), { program: null, timeoutMs: 90_000, askBeforeMovingOthers: true });
});

t.test('the plugin starts no process, talks to no network and runs no text', async (t) => {
  const code = readFileSync(path.join(BUILT, 'index.js'), 'utf8');
  for (const forbidden of [
    /child_process|worker_threads|node:vm|node:net|node:http|node:https|node:dgram|node:tls/,
    /\beval\s*\(|new\s+Function|\bFunction\s*\(/,
    /\bfetch\b|WebSocket|XMLHttpRequest|\bpost\b/i,
    // What else a scanner of OpenClaw takes offence at.
    /(\\x[0-9a-fA-F]{2}){6,}/,
    /CANARY|\/tmp\/|\/root\//,
  ]) {
    t.notMatch(code, forbidden);
  }
  t.strictSame(
    [...code.matchAll(/process\.env\b.*/g)].map(([use]) => use.replace(/[,;]$/, '')),
    ['process.env.PATH ?? ""'],
  );
  const imported = [...code.matchAll(/(?:\bfrom\s|\bimport\s*\(?|\brequire\s*\()\s*["']([^"'\n]+)["']/g)].map(
    ([, name]) => name,
  );
  t.ok(imported.length > 0);
  for (const name of imported)
    t.ok(builtinModules.includes((name ?? '').replace('node:', '')), `imports ${name}`);
});

t.test('codex-router tells where its plugin is and what goes into openclaw.json', async (t) => {
  const box = sandbox(t);
  t.equal((await router(box, ['plugin', 'path'])).stdout.trim(), BUILT);
  const program = path.join(PROJECT, 'dist', 'codex-router.js');
  t.equal((await router(box, ['plugin', 'path', '--program'])).stdout.trim(), program);
  t.match((await router(box, ['plugin', 'path', '--json'])).json, { path: BUILT, program });
  const { stdout } = await router(box, ['plugin', 'snippet', '--sender', 'telegram:1001', 'telegram:2002']);
  const { config } = JSON.parse(stdout).plugins.entries['codex-router'];
  t.strictSame(config, { program, allowSenders: ['owner', 'telegram:1001', 'telegram:2002'] });
  t.match(parseConfig(config), { program });
  t.match((await router(box, ['plugin', 'snippet', '--json'])).json.snippet.plugins.entries['codex-router'], {
    enabled: true,
    config: { program },
  });
});
