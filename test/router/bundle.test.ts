import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import t from 'tap';
import { bundleText, READ_FIRST } from '../../src/cli/bundle-text.js';
import { BundleDocument } from '../../src/cli/contract-bundle.js';
import { RouterError } from '../../src/errors.js';
import { type BundleDeps, makeBundle } from '../../src/router/bundle.js';
import {
  channelWord,
  codeWord,
  hostPathWord,
  NOTE_CODES,
  pseudonyms,
  sessionWord,
  sourceWord,
  versionWord,
} from '../../src/router/bundle-words.js';
import { findCanary } from '../kit/canary.js';
import { NONE } from '../kit/none.js';
import { tracesOf } from '../kit/traces.js';

const NOW = Date.UTC(2026, 0, 1, 12);

/** A machine on which every text there is, also one that should be a word of ours, is `text`. */
function hostile(text: string): BundleDeps {
  const identity = { accountId: text, userId: text, email: text, plan: text, workspace: text };
  const address = { id: text, layout: text, agent: text, profileId: text };
  const reading = {
    occupant: { kind: 'login', identity, grant: { expiresAt: NOW, accessToken: text } },
    neighbours: [{ kind: text, profileId: `${text}2`, what: text }],
    order: [text, `${text}2`],
    selectable: true,
  };
  const entry = { key: text, pinnedTo: text, channel: text, from: text, spawnedBy: text };
  const note = { code: text, text };
  const error = new RouterError('IO', text, { hint: text });
  const machine = {
    versions: { codexRouter: text, node: text, kernel: text, libc: text, distribution: text },
    platform: text,
    arch: text,
    env: { [text]: text, CODEX_HOME: text, HOME: text, CODEX_ROUTER_KEY: '' },
    house: {
      parts: [{ role: text, path: text, kind: text, mode: 0o100600, uid: 1, size: 5, changedAt: NOW }],
      unlockers: [{ kind: text, path: text, id: text }],
      troubles: [error],
    },
    entries: {
      seen: [
        {
          identity,
          alias: text,
          fingerprint: text,
          source: text,
          doubt: text,
          verified: true,
          sharedWith: text,
          lent: { folder: text, what: text },
          placement: { slot: text, fingerprint: text, at: NOW - 5000 },
          expiresAt: NOW + 3_600_000,
          updatedAt: Number.NaN,
        },
      ],
    },
    failure: new Error(text),
    journal: {
      seen: [
        { id: text, step: text, slot: text, from: identity, to: null, pins: [entry], undoes: text, at: NOW },
      ],
    },
    found: {
      seen: {
        stateDir: `/${text}`,
        layout: text,
        release: { version: text, source: text },
        provider: text,
        profileId: text,
        via: text,
        reasons: [note],
        notes: [note],
        stores: [
          {
            path: `/${text}/agents/${text}/${text}`,
            format: text,
            holds: text,
            agent: text,
            schema: 1,
            state: text,
            profiles: [text],
            trouble: text,
          },
        ],
        agents: [{ id: text, isDefault: true, runsOn: text, trouble: text }],
        locks: [{ kind: text, path: `/elsewhere/${text}.lock` }],
        gateway: { pid: 1, port: 48_123 },
        refusal: { code: text, message: text, hint: text },
      },
    },
    host: {
      seen: {
        agents: [text],
        allSlots: async () => [
          { address, read: async () => reading },
          { address, read: async () => Promise.reject(error) },
        ],
        pinsOf: () => ({ read: async () => [entry] }),
      },
    },
    explanation: {
      seen: {
        symptom: text,
        layers: [{ layer: text, verdict: text, cause: text, identity, value: text, why: text }],
      },
    },
    findings: { seen: [{ code: text, part: text, danger: false, text, remedy: text, mend: { does: text } }] },
    now: NOW,
  };
  return machine as unknown as BundleDeps;
}

async function bundled(deps: BundleDeps) {
  const document = BundleDocument.parse({
    schemaVersion: 1,
    ok: true,
    kind: 'bundle',
    ...(await makeBundle(deps)),
  });
  return { document, text: bundleText(document) };
}

t.test('nothing of what lies on a machine gets into a bundle, whatever it is called', async (t) => {
  const nasty = [
    '\n',
    '```',
    '\n```\n# ',
    '\u001b[31m',
    '\u202e',
    '"}',
    '%00',
    '../',
    '\u0000',
    'agent:main:',
    '|',
    'é',
  ];
  const texts = fc.tuple(
    fc.array(fc.constantFrom(...nasty)),
    fc.string(),
    fc.array(fc.constantFrom(...nasty)),
  );
  let fences = 0;
  await fc.assert(
    fc.asyncProperty(texts, async ([before, middle, after]) => {
      const private_ = `${before.join('')}private-CANARY${middle}${after.join('')}`;
      const { document, text } = await bundled(hostile(private_));
      const both = `${text}\n${JSON.stringify(document)}`;
      for (const marker of ['private-', 'CANARY', '48123']) t.strictSame(tracesOf(both, marker), []);
      t.strictSame(findCanary([], { strings: { both } }), []);
      t.match(text, /^slot of agent .*, identity 1, /m);
      t.match(text, /^[\n -~]*$/, 'nothing that a terminal or a page would act on');
      const found = text.match(/^```/gm)?.length ?? 0;
      fences ||= found;
      t.equal(found, fences, 'each part has its own fence, and no more');
    }),
    { numRuns: 60 },
  );
  t.ok(fences >= 18);
});

t.test('what is known is told: kinds, codes, ages and pseudonyms that are one for one', async (t) => {
  const plain = hostile('x');
  const identity = { accountId: 'acc-9', userId: 'user-9', email: null, plan: 'team', workspace: null };
  const { document, text } = await bundled({
    ...plain,
    versions: {
      codexRouter: '0.1.0',
      node: '20.20.1',
      kernel: '6.8.0-45-private',
      libc: '2.36',
      distribution: 'debian',
    },
    platform: 'linux',
    failure: new RouterError('KEYCHAIN_LOCKED', 'x'),
    host: { error: new RouterError('HOST_UNSUPPORTED', 'x') },
    findings: { error: new Error('x'), seen: [] },
    journal: {
      seen: [
        {
          id: 'j',
          step: 'done',
          slot: 's',
          from: null,
          to: identity,
          pins: [],
          undoes: null,
          at: NOW - 90 * 60_000,
        },
      ],
    },
  } as unknown as BundleDeps);
  t.match(document, {
    versions: { codexRouter: '0.1.0', kernel: '6.8.0', libc: '2.36', distribution: 'debian', arch: 'other' },
    vault: { state: 'KEYCHAIN_LOCKED', keys: ['other'] },
    identities: [{ identity: 'identity 1', placed: '5 s ago', expires: 'in 1 h', stored: 'other' }],
    host: { error: 'HOST_UNSUPPORTED', slots: NONE, sessions: NONE },
    findings: { error: 'BUG', findings: NONE },
    switches: {
      last: [{ kind: 'USE', step: 'done', from: 'nobody', to: 'identity 2', age: '1 h 30 min ago' }],
    },
    environment: ['CODEX_HOME'],
  });
  t.match(text, /use nobody -> identity 2, done, 0 pins, 1 h 30 min ago/);
  t.ok(text.endsWith(READ_FIRST));
});

t.test('words: of a path, a key or a version only what is known stays', async (t) => {
  const names = pseudonyms();
  const paths: readonly (readonly [string, string])[] = [
    ['agents/main/agent/auth-profiles.json', '<state>/agents/main/agent/auth-profiles.json'],
    ['agents/anna/agent/auth-profiles.json', '<state>/agents/agent 1/agent/auth-profiles.json'],
    ['agents/anna/sessions/sessions.json.lock', '<state>/agents/agent 1/sessions/sessions.json.lock'],
    ['state/openclaw.sqlite', '<state>/state/openclaw.sqlite'],
    ['clients/anna.json', '<state>/*/*'],
    ['../../anna/auth-profiles.json', '<elsewhere>/auth-profiles.json'],
    ['/srv/anna', '<elsewhere>/*'],
  ];
  for (const [path, shown] of paths) t.equal(hostPathWord(path, names), shown);
  const keys: readonly (readonly [string, string, string])[] = [
    ['agent:main:main', 'main', 'none'],
    ['agent:main:telegram:direct:1234', 'direct', 'telegram'],
    ['agent:main:telegram:group:-100:thread:7', 'group thread', 'telegram'],
    ['agent:main:telegram:slash:1234', 'slash', 'telegram'],
    ['agent:main:cron:anna', 'cron', 'none'],
    ['agent:main:main:heartbeat', 'heartbeat', 'none'],
    ['agent:main:private:secret', 'other', 'none'],
  ];
  for (const [key, kind, channel] of keys) {
    t.equal(sessionWord({ key, spawnedBy: null }), kind, key);
    t.equal(channelWord({ key, channel: null }), channel, key);
  }
  t.equal(channelWord({ key: 'agent:main:main', channel: 'annas-own' }), 'other');
  const versions = ['2026.9.6', '2026.3.28-beta.1', 'v1.2.3', '2026.9.6-anna', '10.20.30.40', 'anna', null];
  t.strictSame(versions.map(versionWord), [
    '2026.9.6',
    '2026.3.28-beta.1',
    '1.2.3',
    '2026.9.6 (and more)',
    'other',
    'other',
    'none',
  ]);
  const sources = [
    '/home/anna/bin/openclaw',
    'openclaw.json meta.lastTouchedVersion',
    'the running gateway',
    'anna',
  ];
  t.strictSame(sources.map(sourceWord), [
    'an installed program',
    'openclaw.json',
    'the running gateway',
    'other',
  ]);
});

t.test('every code that is noted of a host is known, and another one is not told', async (t) => {
  const folder = join(import.meta.dirname, '../../src/openclaw');
  const text = readdirSync(folder)
    .map((name) => readFileSync(join(folder, name), 'utf8'))
    .join('\n');
  const codes = [...text.matchAll(/(?:code: |(?:reason|note)\(\s*)'([A-Z][A-Z0-9_]+)'/g)].map(
    ([, code = '']) => code,
  );
  t.ok(codes.length > 20);
  t.strictSame(
    codes.filter((code) => !NOTE_CODES.includes(code)),
    [],
    'name it in bundle-words.ts',
  );
  t.equal(codeWord('PRIVATE_CANARY', NOTE_CODES), 'OTHER');
});
