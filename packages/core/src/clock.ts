/**
 * Whole milliseconds since 1970, as they were when this process started plus what has passed since by the monotonic clock: an
 * administrator or NTP that sets the clock of the machine ends no grace period and no deadline.
 */
export function now(): number {
  return Math.floor(performance.timeOrigin + performance.now());
}
