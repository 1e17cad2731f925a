import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { type JsonDocument, PROJECT, sandbox } from '../kit/router.js';
import { readJson } from '../kit/state.js';
import { auditFailover } from './failover-audit.js';
import { imageOf, jsonBed } from './failover-bed.js';

const SOURCES = [
  ...[
    'bin',
    'docs',
    'plugin',
    'skill',
    'src',
    'build.mjs',
    'package.json',
    'package-lock.json',
    'tsconfig.json',
  ],
  ...['CHANGELOG.md', 'LICENSE', 'README.md', 'SECURITY.md'],
];

auditFailover(jsonBed);

t.test('provenance', async (t) => {
  const box = sandbox(t);
  /** The sources without what was built of them, in a folder of their own. */
  const checkedOut = (name: string): string => {
    const folder = path.join(box.root, name);
    mkdirSync(folder);
    for (const part of SOURCES)
      cpSync(path.join(PROJECT, part), path.join(folder, part), { recursive: true });
    symlinkSync(path.join(PROJECT, 'node_modules'), path.join(folder, 'node_modules'));
    execFileSync(process.execPath, ['build.mjs'], { cwd: folder, stdio: 'pipe' });
    return folder;
  };
  const packed = (cwd: string): JsonDocument => {
    const args = ['pack', '--dry-run', '--json', '--ignore-scripts', '--offline'];
    return JSON.parse(execFileSync('npm', args, { cwd, encoding: 'utf8', stdio: 'pipe' }))[0];
  };
  const here = checkedOut('here');
  const there = checkedOut('elsewhere');

  t.test('the package says where it comes from, and under which terms', async (t) => {
    const { repository, homepage, bugs, license, version } = readJson(
      path.join(PROJECT, 'package.json'),
    ) as JsonDocument;
    t.match(repository, { type: 'git', url: /^git\+https:\/\/github\.com\/[^/]+\/codex-router\.git$/ });
    t.match(homepage, /^https:\/\/github\.com\//);
    t.match(bugs, { url: /^https:\/\/github\.com\/.*\/issues$/ });
    t.equal(license, 'MIT');
    const files: string[] = packed(here).files.map((file: { path: string }) => file.path);
    for (const name of [
      'CHANGELOG.md',
      'SECURITY.md',
      'LICENSE',
      'README.md',
      'dist/THIRD-PARTY-NOTICES.txt',
    ])
      t.ok(files.includes(name), name);
    t.equal(packed(here).version, version);
  });

  t.test('the same sources give the same package, byte for byte, wherever they lie', async (t) => {
    t.strictSame(imageOf(path.join(here, 'dist')), imageOf(path.join(there, 'dist')));
    t.equal(packed(here).integrity, packed(there).integrity);
  });
});
