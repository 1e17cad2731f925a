import { switchDeps } from '../../src/cli/adapt.js';
import { cliOf } from '../../src/cli/cli.js';
import { compose } from '../../src/cli/compose.js';
import { watchInterruptions } from '../../src/cli/interruption.js';
import { processTerminal } from '../../src/cli/terminal.js';
import { RouterError } from '../../src/errors.js';
import { type LeaveRequest, leaveOwnSlot } from '../../src/router/leave-own-slot.js';
import { type OwnSlotRequest, useOwnSlot } from '../../src/router/own-slot.js';

// The router's own functions as a command would call them, without a decision before them: one JSON document on stdout.
const request = JSON.parse(process.argv[2] ?? '{}') as
  | ({ readonly op: 'use' } & OwnSlotRequest)
  | ({ readonly op: 'leave' } & LeaveRequest);
const interruption = watchInterruptions(
  process,
  () => true,
  () => undefined,
  (status) => process.exit(status),
);
const terminal = processTerminal(process, process.env, interruption.signal);
const cli = cliOf(process.env, process.platform, true, terminal, interruption);
try {
  const parts = compose(cli, {});
  const host = await parts.besideKeychain(() => parts.host());
  const deps = switchDeps(cli, parts, host);
  const answer = request.op === 'use' ? await useOwnSlot(deps, request) : await leaveOwnSlot(deps, request);
  console.log(JSON.stringify({ ok: true, ...answer }));
} catch (error) {
  if (!(error instanceof RouterError)) throw error;
  const { code, message, hint } = error;
  console.log(JSON.stringify({ ok: false, error: { code, message, hint } }));
}
