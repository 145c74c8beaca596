import type { Host, Job, Thread } from './state.js';
import { mainHost } from './state.js';

// Where a thread can go. Its program has looked at the processor where it started, and goes on using what it found there; and there
// must be memory for it.

/** A host has said what its machine has. Machines that are alike share one list. */
export function noteFeatures(job: Job, host: Host, features: readonly string[]): void {
  const wanted = features.join();
  const known = [...new Set(job.features.values())].find(list => list.join() === wanted);
  job.features.set(host.member, known ?? features);
  if (known === undefined && job.features.size > 1) job.mixed = true;
}

/** Its host on that node has refused it for this reason: what the coordinator knew was not enough to foresee it. */
export function bar(job: Job, thread: Thread, node: string, reason: string): void {
  const barred = job.barred.get(node) ?? new Map<string, string>();
  job.barred.set(node, barred.set(thread.id, reason));
  job.mixed = true;
}

/** Another machine has come by that name. */
export function unbar(job: Job, node: string): void {
  job.barred.delete(node);
}

/** The node has no memory left for what was to come: it is left alone for a while. */
export function noteFull(job: Job, node: string, until: number): void {
  job.full.set(node, until);
}

/** Must each thread's destination be looked at? Where nodes are alike and have room, numbers of threads say enough. */
export function isSelective(job: Job, now: number): boolean {
  for (const [node, until] of job.full) if (until <= now) job.full.delete(node);
  return job.mixed || job.full.size > 0;
}

/** Why the thread cannot go to the node now; null: it can. */
export function whyNotThere(job: Job, thread: Thread, node: string, now: number): string | null {
  if ((job.full.get(node) ?? 0) > now) return `node ${node} has no memory left for threads`;
  if (!job.mixed) return null;
  const refused = job.barred.get(node)?.get(thread.id);
  if (refused !== undefined) return refused;
  const need = job.features.get(startedBy(thread));
  const host = mainHost(job, node);
  const have = host && job.features.get(host.member);
  const missing = need && have ? lacking(need, have) : [];
  if (missing.length === 0) return null;
  const named =
    missing.slice(0, NAMED).join(', ') + (missing.length > NAMED ? ` and ${missing.length - NAMED} more` : '');
  return `node ${node} lacks ${named}, which the thread may use since it started where that is`;
}

const NAMED = 10;

/** The member where it started: its id begins with it. */
function startedBy(thread: Thread): number {
  return Number(thread.id.split('.', 1)[0]);
}

const compared = new WeakMap<readonly string[], WeakMap<readonly string[], readonly string[]>>();

/** Remembered for each pair of lists, of which there are few. */
function lacking(need: readonly string[], have: readonly string[]): readonly string[] {
  if (need === have) return [];
  const known = compared.get(need) ?? new WeakMap<readonly string[], readonly string[]>();
  compared.set(need, known);
  let missing = known.get(have);
  if (missing === undefined) {
    const there = new Set(have);
    missing = need.filter(feature => !there.has(feature));
    known.set(have, missing);
  }
  return missing;
}
