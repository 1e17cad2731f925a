import type { Holding } from '../../src/holding.js';
import { identityKey } from '../../src/identity.js';
import { type Adoption, adopt } from '../../src/router/adopt.js';
import type { OutsideHolder } from '../../src/router/custody.js';
import { examine } from '../../src/router/doctor.js';
import { type UseAnswer, type UseRequest, use } from '../../src/router/use.js';
import type { Host } from '../../src/slot/host.js';
import { fakeJournal } from '../contract/fake-journal.js';
import { fakeRepo } from '../contract/fake-repo.js';
import { holdingOf } from '../contract/slot.js';
import { DAY, loginOf, type PersonName } from '../kit/tokens.js';
import { SURROUNDINGS } from './support.js';

export const SLOT = 'openai-codex:default';
export const NOW = Date.now();

export const login = (name: PersonName, nonce = 'one', issuedAt = NOW - DAY): Holding =>
  holdingOf(loginOf(name, { nonce, issuedAt, expiresAt: issuedAt + 10 * DAY }));

export const keyOf = (holding: Holding) => identityKey(holding.identity);
export const refreshOf = (holding: Holding | null) => holding?.grant.refreshToken.reveal() ?? null;

export interface Surroundings {
  readonly outside?: readonly OutsideHolder[];
  /** Other hosts of the machine, by state directory. */
  readonly elsewhere?: { readonly [stateDir: string]: Host };
}

/** One codex-router with a vault of its own, working on hosts it may share with another. */
export function vault({ outside = [], elsewhere = {} }: Surroundings = {}) {
  const repo = fakeRepo(() => NOW);
  const journal = fakeJournal();
  const deps = (host: Host) => ({
    repo,
    opening: repo.open(),
    host,
    outside,
    hostAt: async (stateDir: string) => elsewhere[stateDir] ?? host,
    journal,
    ...SURROUNDINGS,
    now: () => NOW,
  });
  return {
    repo,
    journal,
    deps,
    use: (host: Host, who: Holding, request: Partial<UseRequest> = {}): Promise<UseAnswer> =>
      use(deps(host), {
        selector: keyOf(who),
        agent: null,
        session: { kind: 'current' },
        dryRun: false,
        ...request,
      }),
    adopt: async (host: Host): Promise<Adoption> => adopt(deps(host), await repo.open()),
    doctor: async (host: Host | null) => examine({ ...deps(host ?? NO_HOST), host }, await repo.open()),
    async store(...holdings: Holding[]) {
      const open = await repo.open();
      for (const holding of holdings) await open.save(holding, { source: 'codex' });
    },
    async entry(who: Holding) {
      return (await repo.list()).find(({ identity }) => identityKey(identity) === keyOf(who));
    },
  };
}

const NO_HOST = {} as Host;
