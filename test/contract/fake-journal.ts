import type { Journal, SwitchRecord } from '../../src/repo/journal.js';

/** The journal in memory. */
export function fakeJournal(): Journal & { readonly records: SwitchRecord[] } {
  const records: SwitchRecord[] = [];
  return {
    records,
    read: async () => [...records],
    begin: async (intent, at) => {
      const id = `${records.length}`;
      records.push({ ...intent, id, at, step: 'begun' });
      return id;
    },
    advance: async (id, step, at) => {
      const index = records.findIndex((record) => record.id === id);
      const old = records[index];
      if (old) records[index] = { ...old, step, at };
    },
    damaged: async () => 0,
  };
}
