import { placeNew } from '../plan/targets.js';
import type { JobSpec } from '../wire/job-spec.js';
import type { Job } from './state.js';

/** A thread that the coordinator starts: the job's number `rank`, its host's number `thread`. */
export interface FirstThread {
  member: number;
  rank: number;
  thread: number;
}

/**
 * The threads that each host of a job's first view starts, spread by threads per core. Depends on nothing but the
 * arguments, so a coordinator that was restarted gets the same answer.
 *
 * @param hosts in the order of their members
 */
export function firstThreads(spec: JobSpec, hosts: readonly { member: number; cores: number }[]): FirstThread[] {
  const [first] = hosts;
  if (!first) return [];
  if (spec.kind === 'main') return [{ member: first.member, rank: 0, thread: 1 }];
  const homes = placeNew(
    hosts.map(({ member, cores }) => ({ id: String(member), cores, threads: 0, fixed: 0, open: true })),
    spec.n,
  );
  const threads: FirstThread[] = [];
  for (const { member } of hosts) {
    const mine = homes.get(String(member)) ?? 0;
    for (let thread = 1; thread <= mine; thread++) threads.push({ member, rank: threads.length, thread });
  }
  return threads;
}

/** How many threads decide the end: the main one, or all N. */
export function firstCount(job: Job): number {
  return job.spec.kind === 'main' ? 1 : job.spec.n;
}
