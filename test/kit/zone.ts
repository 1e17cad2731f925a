/**
 * The time zone, by its IANA name, where it is between eight and nine in the morning now: what ends within some hours ends today there.
 * `Etc/GMT+5` is five hours BEHIND Greenwich; there are 14 zones ahead of it and 12 behind.
 */
export function morningZone(now = new Date()): string {
  const behind = now.getUTCHours() - 8;
  return zone(behind > 12 ? behind - 24 : behind);
}

function zone(behind: number): string {
  if (behind === 0) return 'UTC';
  return `Etc/GMT${behind > 0 ? '+' : '-'}${Math.abs(behind)}`;
}
