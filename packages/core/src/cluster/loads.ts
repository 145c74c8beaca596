import type { FromHost } from '../wire/host-messages.js';

// What the hosts of a job say of their threads' processor time, made into cores that each uses on average.

type Reported = Extract<FromHost, { t: 'report' }>['threads'][number];
/** Hosts do not count how long a thread waited for a core; simulations know. */
type Measured = Pick<Reported, 'thread' | 'state' | 'cpuSeconds' | 'bytes' | 'regions'> & { waitSeconds?: number };

export interface ThreadLoad {
  /** When it was measured last, ms by the clock of the host where it was then. */
  at: number;
  member: number;
  /** Since its start, seconds. */
  cpuSeconds: number;
  waitSeconds: number | undefined;
  /** Cores it used and waited for, averaged over the last measurements; null: seen once only. */
  cpu: number | null;
  waited: number;
  bytes: number;
  /** Its address ranges: [first byte, bytes]. */
  ranges: [number, number][];
}

export interface Loads {
  /** When the hosts are asked next, ms. */
  askAt: number;
  /** Members that have not answered yet. */
  waiting: Set<number>;
  threads: Map<string, ThreadLoad>;
}

export function noLoads(): Loads {
  return { askAt: 0, waiting: new Set(), threads: new Map() };
}

/** Weight of the newest measurement: half, so that a burst of one interval is half forgotten after the next. */
const NEWEST = 0.5;
/** As hosts call it. */
const READY = 'ready';
/** Reports closer together than this say more of the clock than of the threads, ms. */
const MIN_APART = 50;

export function noteLoads(
  loads: Loads,
  reported: readonly Measured[],
  memberOf: (thread: string) => number | undefined,
  now: number,
): void {
  for (const { thread, state, cpuSeconds, waitSeconds, bytes, regions } of reported) {
    const member = memberOf(thread);
    if (member === undefined) continue;
    const old = loads.threads.get(thread);
    const apart = old ? now - old.at : 0;
    if (old && apart < MIN_APART && old.member === member) continue;
    const next: ThreadLoad = {
      at: now,
      member,
      cpuSeconds,
      waitSeconds,
      cpu: old?.cpu ?? null,
      waited: old?.waited ?? 0,
      bytes,
      ranges: regions,
    };
    // Over a move the time in between was spent on neither node alone: what was known of the thread stands.
    if (old && old.member === member) {
      const rate = (later: number, earlier: number) => Math.min(1, Math.max(0, ((later - earlier) * 1000) / apart));
      const cpu = rate(cpuSeconds, old.cpuSeconds);
      // Whoever is ready when the host looks, but has no core, stands for the time in between.
      const wait = waitSeconds === undefined ? Number(state === READY) : rate(waitSeconds, old.waitSeconds ?? 0);
      const waited = Math.min(1 - cpu, wait);
      next.cpu = old.cpu === null ? cpu : old.cpu + NEWEST * (cpu - old.cpu);
      next.waited = old.cpu === null ? waited : old.waited + NEWEST * (waited - old.waited);
    }
    loads.threads.set(thread, next);
  }
}
