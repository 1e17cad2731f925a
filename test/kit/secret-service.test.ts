import { writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { PROJECT, program, sandbox } from './router.js';
import { secretService } from './secret-service.js';

t.test(
  'keytar and secret-tool see the same item; a lock hides it and an unlock brings it back',
  async (t) => {
    const box = sandbox(t);
    const service = await secretService(t, box);
    if (!service) return;
    const file = path.join(box.root, 'keytar.cjs');
    writeFileSync(
      file,
      `const keytar = require(${JSON.stringify(path.join(PROJECT, 'node_modules', 'keytar'))});
     const [verb, ...rest] = process.argv.slice(2);
     keytar[verb](...rest).then((value) => console.log(JSON.stringify(value ?? null)), (e) => { console.error(e.message); process.exit(1); });`,
    );
    const keytar = (...args: string[]) => program(box, [process.execPath, file], args);
    t.match(await keytar('setPassword', 'svc', 'acct', 'key-1'), { code: 0 });
    t.equal(await service.lookup('svc', 'acct'), 'key-1');
    t.equal(await service.lookup('svc', 'other'), null);
    await service.lock();
    t.match(await keytar('getPassword', 'svc', 'acct'), { code: 0, stdout: 'null\n' });
    await service.unlock();
    t.match(await keytar('getPassword', 'svc', 'acct'), { code: 0, stdout: '"key-1"\n' });
    await service.hang();
    await t.rejects(
      program(box, [process.execPath, file], ['getPassword', 'svc', 'acct'], { timeout: 1500 }),
      /did not end/,
    );
    service.resume();
    await service.clear('svc', 'acct');
    t.equal(await service.lookup('svc', 'acct'), null);
  },
);
