import type { Journal, SwitchRecord } from '../../src/repo/journal.js';
import { type ChoiceRecord, type Written, whatCounts } from '../../src/repo/journal-choices.js';

/** The journal in memory. */
export function fakeJournal(): Journal & { readonly records: SwitchRecord[] } {
  const records: SwitchRecord[] = [];
  /** Each with the number of switches that were begun before it. */
  const choices: { after: number; record: ChoiceRecord }[] = [];
  const written = (): readonly Written[] => [
    ...records.flatMap((record, place): Written[] => [...chosenAfter(place), { kind: 'switch', record }]),
    ...chosenAfter(records.length),
  ];
  const chosenAfter = (count: number): Written[] =>
    choices.flatMap(({ after, record }) => (after === count ? [{ kind: 'choice' as const, record }] : []));
  return {
    records,
    read: async () => [...whatCounts(written()).switches],
    begin: async (intent, at) => {
      const id = `${records.length}`;
      records.push({ ...intent, id, at, step: 'begun' });
      return id;
    },
    choices: async () => whatCounts(written()).choices,
    choose: async (choice, at) => {
      const id = `choice-${choices.length}`;
      choices.push({ after: records.length, record: { ...choice, id, at, step: 'begun' } });
      return id;
    },
    advance: async (id, step, at) => {
      const index = records.findIndex((record) => record.id === id);
      const old = records[index];
      if (old) records[index] = { ...old, step, at };
      const chosen = choices.find(({ record }) => record.id === id);
      if (chosen) chosen.record = { ...chosen.record, step, at };
    },
    damaged: async () => 0,
  };
}
