import { appendFileSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { until } from '../kit/process.js';
import type { JsonDocument, RouterRun, Sandbox } from '../kit/router.js';
import { startRouter } from '../kit/start.js';
import { codexAuthJson, DAY, people } from '../kit/tokens.js';
import { tracesOf } from '../kit/traces.js';
import { type FailoverBed, MAIN, MARK, type MakeBed, ROOM, SLASH, TOPIC, textsOf } from './failover-bed.js';

const EVERYBODY = [people.alice, people.bob, people['bob-team'], people.carol];

/** What tells who somebody is, and what a shared log must not. */
const WHO = [...new Set(EVERYBODY.flatMap(({ email, accountId, userId }) => [email, accountId, userId]))];
const SESSIONS = [MAIN, SLASH, ROOM, TOPIC];

/**
 * The audit of the failover skill that codex-router's grew from (ClawScan, 10 May 2026), each sentence of it as what holds here. Its faults
 * were: a named session only filtered the report; every login's token was used; one script applied where the other
 * did not, and a watcher went on in the background; logs and back-ups told who and where, and piled up.
 */
export function auditFailover(make: MakeBed): void {
  t.test('scope', async (t) => {
    await t.test('naming one session changes one session, and nothing besides it', async (t) => {
      const bed = await make(t);
      // What the skill changed, whatever was named.
      bed.configure({ sessions: [MAIN, ROOM, TOPIC] });
      const before = { besides: bed.besides(ROOM), on: wires(bed) };
      const run = await bed.failover(`once --session ${ROOM} --own-slot --apply --json`);
      t.equal(run.code, 0, run.stdout);
      t.strictSame(
        without(bed, bed.besides(ROOM)),
        before.besides,
        'every other entry, login and file is as it was',
      );
      t.strictSame(
        wires(bed),
        { ...before.on, [ROOM]: 'bob' },
        'and every other session runs on whom it ran on',
      );
      t.match(bed.stores.sessions()[ROOM], {
        authProfileOverride: bed.ownSlot,
        authProfileOverrideSource: 'user',
        label: MARK,
      });
      t.strictSame(keysIn(run.json), [ROOM], 'nor is any other spoken of');
    });

    await t.test('a chat takes its companion with it, and nobody else', async (t) => {
      const bed = await make(t);
      bed.configure({ sessions: [MAIN, ROOM, TOPIC] });
      const before = { besides: bed.besides(MAIN, SLASH), on: wires(bed) };
      const run = await bed.failover(`once --session ${MAIN} --own-slot --apply --json`);
      t.equal(run.code, 0, run.stdout);
      t.strictSame(without(bed, bed.besides(MAIN, SLASH)), before.besides);
      t.strictSame(wires(bed), { ...before.on, [MAIN]: 'bob', [SLASH]: 'bob' });
    });

    for (const [who, command] of [
      ['one', `once --session ${ROOM}`],
      ['two', `once --session ${ROOM} --session ${TOPIC}`],
    ] as const) {
      await t.test(`${who} named of more that share the slot: refused, the others are listed`, async (t) => {
        const bed = await make(t);
        bed.configure({ sessions: [MAIN, ROOM, TOPIC] });
        const before = bed.image();
        const run = await bed.failover(`${command} --apply --json`);
        t.match(run, { code: 6, json: { error: { code: 'FAILOVER_SCOPE' } } });
        t.match(JSON.stringify(run.json.error), new RegExp(MAIN), 'who else would move is told');
        t.match(JSON.stringify(run.json.error), /--shared-slot/);
        t.match(JSON.stringify(run.json.error), /--own-slot/);
        t.strictSame(bed.image(), before, 'nothing was written anywhere');
        t.strictSame(bed.issuer.of('usage'), [], 'nor anybody asked');
      });
    }

    await t.test(
      'the slot is moved for all only where that was said, and pins only who is named',
      async (t) => {
        const bed = await make(t);
        const before = bed.besides(ROOM) as { readonly others: unknown };
        const planned = await bed.failover(`once --session ${ROOM} --shared-slot --json`);
        t.match(JSON.stringify(planned.json), new RegExp(TOPIC), 'the plan names who moves along');
        const run = await bed.failover(`once --session ${ROOM} --shared-slot --apply --json`);
        t.equal(run.code, 0, run.stdout);
        const after = bed.besides(ROOM) as { readonly others: unknown };
        t.strictSame(after.others, before.others, 'no other session was written');
        t.match(bed.stores.sessions()[ROOM], {
          authProfileOverride: bed.slot,
          authProfileOverrideSource: 'user',
        });
        t.strictSame([...new Set(Object.values(wires(bed)))], ['bob']);
      },
    );

    await t.test(
      'where none is named it is the list in the settings; where that is empty too, it is refused',
      async (t) => {
        const bed = await make(t);
        const before = bed.image();
        for (const line of ['check', 'once', 'once --apply --shared-slot', 'once --apply --own-slot']) {
          const run = await bed.failover(`${line} --json`);
          t.match(run, { code: 2, json: { error: { code: 'FAILOVER_NO_SESSIONS' } } }, line);
        }
        t.strictSame(bed.image(), before);
        bed.configure({ sessions: [ROOM] });
        t.strictSame(keysIn((await bed.failover('check --json')).json), [ROOM]);
      },
    );

    await t.test(
      'a session that is not there is said to be missing, and nothing is changed for it',
      async (t) => {
        const bed = await make(t);
        const before = bed.besides();
        for (const mode of ['--shared-slot', '--own-slot']) {
          const run = await bed.failover(`once --session agent:main:nobody ${mode} --apply --json`);
          t.match(JSON.stringify(run.json), /missing/, mode);
        }
        t.strictSame(bed.besides(), before);
      },
    );

    await t.test('a session that its person pinned elsewhere is left there, and that is said', async (t) => {
      const bed = await make(t, [TOPIC]);
      const before = bed.besides(ROOM);
      const run = await bed.failover(`once --session ${TOPIC} --session ${ROOM} --own-slot --apply --json`);
      t.equal(run.code, 0, run.stdout);
      t.strictSame(without(bed, bed.besides(ROOM)), before);
      t.strictSame([bed.onTheWire(TOPIC), bed.onTheWire(ROOM)], ['carol', 'bob']);
      t.match(
        run.json.sessions.find(({ key }: JsonDocument) => key === TOPIC),
        { runsOn: 'left', why: /person's choice/ },
      );
      t.notMatch(JSON.stringify(run.json.slots), TOPIC, 'and nothing is planned for it');
    });
  });

  t.test('credentials', async (t) => {
    await t.test(
      'only tokens of identities that the person stored are used, each once a round',
      async (t) => {
        const bed = await make(t);
        for (const line of ['check', 'once', 'once --own-slot --apply']) {
          const from = bed.issuer.requests.length;
          const run = await bed.failover(`${line} --session ${ROOM} --json`);
          t.equal(run.code, 0, run.stdout);
          t.strictSame(askedSince(bed, from), ['alice', 'bob', 'team'], line);
        }
        t.strictSame(
          bed.issuer.requests.filter(({ kind }) => kind !== 'usage'),
          [],
          'nothing else is asked, nothing renewed',
        );
      },
    );

    await t.test('where an order is set nobody outside it is asked, nor taken', async (t) => {
      const bed = await make(t);
      bed.configure({ sessions: [ROOM], order: ['third'] });
      const run = await bed.failover('once --own-slot --apply --json');
      t.equal(run.code, 0, run.stdout);
      t.strictSame(askedSince(bed, 0), ['alice', 'team']);
      t.equal(bed.onTheWire(ROOM), 'team');
    });

    await t.test('an identity that is not stored is never a way out', async (t) => {
      const bed = await make(t);
      bed.limits.spend(people.bob, 95);
      bed.limits.spend(people['bob-team'], 55);
      const before = bed.besides();
      for (const mode of ['--own-slot', '--shared-slot']) {
        const run = await bed.failover(`once --session ${ROOM} ${mode} --apply --json`);
        t.match(JSON.stringify(run.json), /no_candidate_available/);
      }
      t.strictSame(bed.besides(), before);
      t.notOk(askedSince(bed, 0).includes('carol'));
    });

    await t.test('the help of whatever asks says whose tokens it uses', async (t) => {
      const bed = await make(t);
      for (const command of ['check', 'once', 'watch']) {
        const { stdout } = await bed.failover(`${command} --help`);
        t.match(stdout.replace(/\s+/g, ' '), /only .*(you|were) .*stored|only .*stored/i, command);
      }
    });

    await t.test('nothing that is printed, logged or kept tells who somebody is', async (t) => {
      const bed = await make(t);
      bed.configure({ sessions: [MAIN, ROOM] });
      for (const json of ['', ' --json']) {
        const lines = [
          'check',
          'once',
          'once --own-slot',
          'log',
          'status',
          'leave',
          `once --session ${ROOM}`,
        ];
        for (const line of lines) hides(t, line, await bed.failover(line + json));
        hides(t, 'refused', await bed.failover(`once --session ${ROOM} --apply${json}`));
      }
      hides(t, 'apply', await bed.failover('once --own-slot --apply'));
      hides(t, 'apply again', await bed.failover('once --own-slot --apply --json'));
      for (const line of ['log', 'log --json', 'status', 'status --json']) {
        const run = await bed.failover(line);
        hides(t, line, run);
        for (const key of SESSIONS)
          t.strictSame(tracesOf(run.stdout, key), [], `${line}: sessions are masked`);
      }
      const kept = Object.entries(textsOf(bed.folder));
      t.ok(kept.length > 1, 'there is something to look at');
      for (const [name, text] of kept) {
        const isState = name === 'state.json';
        for (const who of WHO) if (!isState) t.strictSame(tracesOf(text, who), [], `${name} has ${who}`);
        for (const { email } of EVERYBODY) t.strictSame(tracesOf(text, email), [], `${name} has ${email}`);
        for (const word of [...SESSIONS, bed.slot, bed.ownSlot, bed.neighbour, MARK])
          if (!isState) t.strictSame(tracesOf(text, word), [], `${name} has ${word}`);
      }
    });
  });

  t.test('persistence', async (t) => {
    await t.test(
      'a dry run is the default of every command: nothing in the whole home changes',
      async (t) => {
        const bed = await make(t);
        bed.configure({ sessions: [MAIN, ROOM] });
        t.equal((await bed.failover(`once --session ${ROOM} --own-slot --apply`)).code, 0);
        const before = bed.image();
        const lines = [
          ...['check', 'once', 'once --shared-slot', 'once --own-slot', 'leave', `leave --session ${ROOM}`],
          ...['log', 'status', 'stop', 'unit', 'unit --launchd'],
        ];
        for (const line of lines) {
          for (const json of ['', ' --json']) {
            await bed.failover(line + json);
            t.strictSame(changesIn(bed.image(), before), [], line + json);
          }
        }
        t.strictSame(processesOf(bed.box), []);
      },
    );

    await t.test('whatever can change something says so in its help, and check cannot', async (t) => {
      const bed = await make(t);
      for (const command of ['once', 'watch', 'leave']) {
        const { stdout } = await bed.failover(`${command} --help`);
        t.match(stdout, /--apply/, command);
        t.match(stdout.replace(/\s+/g, ' '), /dry run|changes nothing|without (it|--apply)/i, command);
      }
      const before = bed.image();
      t.equal((await bed.failover(`check --session ${ROOM} --apply`)).code, 2);
      t.strictSame(changesIn(bed.image(), before), []);
    });

    await t.test(
      'when the command has returned no process of it is left, and it has left none to come',
      async (t) => {
        const bed = await make(t);
        const before = Object.keys(bed.image());
        t.equal((await bed.failover(`once --session ${ROOM} --own-slot --apply`)).code, 0);
        t.strictSame(processesOf(bed.box), []);
        const fresh = Object.keys(bed.image()).filter((name) => !before.includes(name));
        t.strictSame(
          fresh.filter((name) => !/^(router|openclaw)\//.test(name)),
          [],
          'no unit, no agent, no crontab: only its own folder and the store',
        );
        t.strictSame(
          fresh.filter((name) => /\.(lock|pid|sock)$/.test(name)),
          [],
        );
      },
    );

    await t.test('the watch stays in the foreground, applies nothing unasked, and ends whole', async (t) => {
      const bed = await make(t);
      bed.configure({ sessions: [ROOM] });
      const before = { host: bed.besides(), data: dataOf(bed) };
      const watch = startRouter(t, bed.box, ['failover', 'watch', '--own-slot', '--json']);
      await until('its first round', () => watch.said.stdout.includes('"round"'));
      t.match(watch.said.stdout, /switch_recommended/);
      t.ok(processesOf(bed.box).length > 0);
      const second = await bed.failover('watch --json');
      t.match(second, { code: 75, json: { error: {} } }, 'there is one of it only');
      watch.kill('SIGTERM');
      const [code] = (await watch.ended) as [number];
      t.equal(code, 143, watch.said.stderr);
      t.match(watch.said.stdout, /"stopped"/, 'it says that it ends');
      t.strictSame(processesOf(bed.box), []);
      t.strictSame(bed.besides(), before.host);
      t.strictSame(changesIn(dataOf(bed), before.data), []);
    });

    await t.test(
      'a watch that applies is told by status and ended by stop, and nothing runs on',
      async (t) => {
        const bed = await make(t);
        bed.configure({ sessions: [ROOM] });
        const watch = startRouter(t, bed.box, ['failover', 'watch', '--own-slot', '--apply', '--json']);
        await until('its first round', () => watch.said.stdout.includes('\n'));
        await until('its switch is there', () => bed.onTheWire(ROOM) === 'bob');
        t.match((await bed.failover('status --json')).json, { running: 'yes' });
        const stopped = await bed.failover('stop --json');
        t.equal(stopped.code, 0, stopped.stdout);
        await watch.ended;
        t.strictSame(processesOf(bed.box), []);
        t.match((await bed.failover('status --json')).json, { running: 'no' });
        const after = { besides: bed.besides(), asked: bed.issuer.requests.length };
        bed.limits.spend(people.bob, 95);
        bed.limits.clock.leap(24 * 60 * 60 * 1000);
        t.equal((await bed.failover('status')).code, 0);
        t.strictSame([bed.besides(), bed.issuer.requests.length], [after.besides, after.asked]);
      },
    );
  });

  t.test('traces', async (t) => {
    await t.test('what is kept is for its owner alone, whatever the umask', async (t) => {
      const bed = await make(t);
      const mask = process.umask(0);
      t.teardown(() => process.umask(mask));
      t.equal((await bed.failover(`once --session ${ROOM} --own-slot --apply`)).code, 0);
      process.umask(mask);
      t.equal(modeOf(bed.folder), 0o700);
      const files = Object.keys(textsOf(bed.folder));
      t.ok(files.includes('events.jsonl'));
      for (const name of files) t.equal(modeOf(path.join(bed.folder, name)), 0o600, name);
    });

    await t.test('the log can be read, and tells what happened', async (t) => {
      const bed = await make(t);
      await bed.failover(`once --session ${ROOM} --own-slot --apply`);
      const { events } = (await bed.failover('log --json')).json;
      t.match(
        events.filter(({ kind }: JsonDocument) => kind === 'switched'),
        [{ reason: 'remaining_below_threshold', status: 'switched' }],
      );
      t.match((await bed.failover('log')).stdout, /remaining_below_threshold|switched/);
    });

    await t.test('the log is rotated, and what is oldest goes', async (t) => {
      const bed = await make(t);
      const log = path.join(bed.folder, 'events.jsonl');
      const once = () => bed.failover(`once --session ${ROOM} --own-slot --apply`);
      await once();
      const line = `${readFileSync(log, 'utf8').trim().split('\n').at(-1)}\n`;
      for (let round = 0; round < 6; round += 1) {
        // A log that is full, as only many months make it.
        appendFileSync(log, line.repeat(Math.ceil(KEPT / line.length)));
        bed.limits.clock.leap(24 * 60 * 60 * 1000);
        bed.limits.spend(people[round % 2 === 0 ? 'bob' : 'alice'], 95);
        t.equal((await once()).code, 0);
      }
      const files = readdirSync(bed.folder).filter((name) => name.startsWith('events'));
      t.ok(files.length > 1 && files.length <= 5, files.join());
      const sizes = files.map((name) => statSync(path.join(bed.folder, name)).size);
      t.ok(Math.max(...sizes) <= 2 * KEPT, sizes.join());
      t.ok(statSync(log).size < KEPT, 'the newest has room again');
      for (const name of files) t.equal(modeOf(path.join(bed.folder, name)), 0o600, name);
      t.equal((await bed.failover('log --json')).code, 0);
    });

    await t.test('back-ups are sealed, and nobody copies a conversation', async (t) => {
      const bed = await make(t);
      const login = bed.issuer.mint(people.alice, { expiresAt: bed.limits.clock.now() + 30 * DAY });
      t.equal((await bed.run(['import', '--from', '-'], { input: codexAuthJson(login) })).code, 0);
      // The older login in the slot is overwritten, and so backed up.
      t.equal((await bed.run(['use', 'first'])).code, 0);
      for (const who of ['bob', 'alice', 'team'] as const) {
        t.equal((await bed.failover(`once --session ${ROOM} --own-slot --apply`)).code, 0);
        bed.limits.clock.leap(24 * 60 * 60 * 1000);
        bed.limits.spend(people[who === 'team' ? 'bob-team' : who], 95);
      }
      for (const folder of bed.box.written) {
        for (const [name, text] of Object.entries(textsOf(folder)))
          t.strictSame(tracesOf(text, MARK), [], `${name} has what was said`);
      }
      const backUps = Object.entries(textsOf(path.join(bed.box.routerHome, 'backups')));
      t.ok(backUps.length > 0, 'something was backed up');
      for (const [name, text] of backUps) {
        // Whose it is stands in the header of every sealed record, and nothing else.
        for (const word of [...EVERYBODY.map(({ email }) => email), ...SESSIONS, 'refresh', 'access'])
          t.strictSame(tracesOf(text, word), [], `${name} has ${word}`);
      }
      const copies = Object.keys(bed.image()).filter((name) => /\.bak|\.orig|~$|sessions\.json\./.test(name));
      t.strictSame(copies, []);
    });
  });
}

const KEPT = 256 * 1024;

function wires(bed: FailoverBed): Record<string, string | null> {
  return Object.fromEntries(Object.keys(bed.stores.sessions()).map((key) => [key, bed.onTheWire(key)]));
}

/** The same without the own slot's login, and what the host counts of it. */
function without(bed: FailoverBed, besides: object): object {
  const copy = structuredClone(besides) as JsonDocument;
  for (const profiles of Object.values<JsonDocument>(copy.profiles)) delete profiles[bed.ownSlot];
  return copy;
}

function keysIn(document: JsonDocument): readonly string[] {
  return document.sessions.map(({ key }: JsonDocument) => key);
}

function askedSince(bed: FailoverBed, from: number): readonly string[] {
  const asked = bed.issuer.requests.slice(from).filter(({ kind }) => kind === 'usage');
  const names = new Map<string | null, string>(
    Object.entries(bed.logins).map(([name, { accountId, userId }]) => [`${accountId}/${userId}`, name]),
  );
  return asked.map(({ who }) => names.get(who) ?? 'somebody').sort();
}

function hides(t: Test, what: string, { stdout, stderr }: RouterRun): void {
  for (const who of WHO) t.strictSame(tracesOf(stdout + stderr, who), [], `${what} shows ${who}`);
}

function changesIn(now: Record<string, string>, before: Record<string, string>): readonly string[] {
  return [...new Set([...Object.keys(now), ...Object.keys(before)])].filter(
    (name) => now[name] !== before[name],
  );
}

/** What codex-router keeps, besides failover's own files. */
function dataOf(bed: FailoverBed): Record<string, string> {
  return Object.fromEntries(
    Object.entries(bed.image()).filter(
      ([name]) => /^(router|xdg|home)\//.test(name) && !name.startsWith('router/failover'),
    ),
  );
}

function modeOf(file: string): number {
  return statSync(file).mode & 0o777;
}

/** Every process that was started in this sandbox and still runs, by what it runs. */
function processesOf({ root }: Sandbox): readonly string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        if (/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))) return [];
        const environment = readFileSync(`/proc/${pid}/environ`, 'utf8');
        if (!environment.includes(`CODEX_ROUTER_HOME=${root}`)) return [];
        return [readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()];
      } catch {
        return [];
      }
    });
}
