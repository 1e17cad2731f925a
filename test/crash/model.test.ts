import fc from 'fast-check';
import t from 'tap';
import { RouterError } from '../../src/errors.js';
import { identityKey } from '../../src/identity.js';
import { applyImport, planImport, readStored } from '../../src/router/import.js';
import { findInHost } from '../../src/router/import-openclaw.js';
import type { Candidate } from '../../src/router/import-step.js';
import { refresh } from '../../src/router/refresh.js';
import { carryOutRemoval, planRemoval } from '../../src/router/remove.js';
import { resolve } from '../../src/router/resolve.js';
import { sync } from '../../src/router/sync.js';
import { undo } from '../../src/router/undo.js';
import { use } from '../../src/router/use.js';
import { holdingOf } from '../contract/slot.js';
import { type Login, people } from '../kit/tokens.js';
import type { Weather } from './family.js';
import { Killed, type Trip } from './tripwire.js';
import {
  AGENTS,
  type Agent,
  type Command,
  type Look,
  makeWorld,
  nameOf,
  PEOPLE,
  tokensOf,
  type Who,
  type World,
} from './world.js';

/** What befalls a command. */
interface Luck {
  readonly trip: Trip | null;
  readonly race: { readonly at: number; readonly agent: Agent } | null;
  readonly weather: readonly Weather[];
}

type Step =
  | { readonly do: 'login' | 'revoke'; readonly who: Who }
  | { readonly do: 'host-login'; readonly who: Who; readonly agent: Agent }
  | { readonly do: 'host-refresh'; readonly agent: Agent; readonly lost: boolean }
  | { readonly do: 'clock'; readonly days: number }
  | ({ readonly do: 'import'; readonly who: Who } & Luck)
  | ({ readonly do: 'import-host' | 'sync' } & Luck)
  | ({ readonly do: 'use'; readonly who: Who; readonly agent: Agent; readonly move: boolean } & Luck)
  | ({ readonly do: 'undo'; readonly agent: Agent } & Luck)
  | ({ readonly do: 'remove'; readonly who: Who; readonly fromSlot: boolean } & Luck)
  | ({ readonly do: 'refresh'; readonly who: Who; readonly meanwhile: 'nothing' | 'import' | 'remove' } & Luck);

const who = fc.constantFrom(...PEOPLE);
const agent = fc.constantFrom(...AGENTS);
const rarely = <T>(what: fc.Arbitrary<T>, of = 3) =>
  fc.oneof({ arbitrary: fc.constant(null), weight: of }, { arbitrary: what, weight: 1 });
const luck = {
  trip: rarely(fc.record({ at: fc.nat(9), cut: fc.constantFrom('before', 'after', 'torn') }), 2),
  race: rarely(fc.record({ at: fc.integer({ min: 1, max: 30 }), agent })),
  weather: fc.array(fc.constantFrom<Weather[]>('fair', 'down', 'lost-before', 'lost-after'), { maxLength: 3 }),
};
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ do: fc.constant('login'), who }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('import'), who, ...luck }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('import-host'), ...luck }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('use'), who, agent, move: fc.boolean(), ...luck }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('host-refresh'), agent, lost: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('host-login'), who, agent }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('refresh'),
      who,
      meanwhile: fc.constantFrom('nothing', 'nothing', 'import', 'remove'),
      ...luck,
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('undo'), agent, ...luck }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('remove'), who, fromSlot: fc.boolean(), ...luck }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('sync'), ...luck }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('clock'), days: fc.constantFrom(-1, 1) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('revoke'), who }) },
);
