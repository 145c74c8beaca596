// What a node can still give away before it is gone.

/** A move's cost besides its bytes, seconds. */
const PER_MOVE = 0.01;

/** Seconds that it takes to move everything, at so many bytes per second. */
export function drainSeconds(threads: readonly { bytes: number }[], otherBytes: number, rate: number): number {
  const bytes = threads.reduce((sum, one) => sum + one.bytes, otherBytes);
  return bytes / rate + threads.length * PER_MOVE;
}

/**
 * The order in which threads leave. When all of them can be saved, the largest go first: small ones fill the gaps at the end. When
 * not, the smallest: that saves the most.
 * @param secondsLeft until the node is gone; null: as long as it takes
 * @param rate bytes per second, as measured; null: not known
 */
export function drainOrder<T extends { bytes: number }>(
  threads: readonly T[],
  secondsLeft: number | null,
  rate: number | null,
): T[] {
  const fits = secondsLeft === null || rate === null || drainSeconds(threads, 0, rate) <= secondsLeft;
  return [...threads].sort((a, b) => (fits ? b.bytes - a.bytes : a.bytes - b.bytes));
}
