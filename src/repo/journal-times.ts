import { join } from 'node:path';
import { parseJsonObject } from '../json.js';
import { readTextOrNull } from './format.js';

/**
 * When each line of the journal in `folder` was written (ms epoch by this machine's clock), in their order. A line that was copied when
 * the journal was cut bears a later time than it was written at, and counts for nothing; so does a damaged one. @throws IO
 */
export async function journalTimes(folder: string): Promise<readonly number[]> {
  const text = (await readTextOrNull(join(folder, 'journal.jsonl'))) ?? '';
  return text.split('\n').flatMap((one) => {
    const line = parseJsonObject(one);
    if (line?.v !== 1 || typeof line.at !== 'number') return [];
    const isCopy = (line.slot ?? line.host) !== undefined && line.step !== 'begun';
    return isCopy ? [] : [line.at];
  });
}
