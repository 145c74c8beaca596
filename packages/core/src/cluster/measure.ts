import { DEFAULT_BALANCE, type PolicyName } from '../plan/options.js';
import type { FromHost } from '../wire/host-messages.js';
import { noteLoads } from './loads.js';
import type { Host, Job } from './state.js';
import type { Tx } from './tx.js';

/** Marks the reports that are for balancing; those that clients ask for have other names. */
const QUERY = 'load';
/** The same, of one node that is to be empty in time. */
export const SIZES = 'size';

/** Does the policy go by what threads use? */
export function goesByLoad(policy: PolicyName): boolean {
  return policy === 'load' || policy === 'affinity';
}

/** Asks the job's hosts for their threads' processor time when it is time again. */
export function measure(tx: Tx, job: Job): void {
  const { loads } = job;
  if (job.state !== 'running' || !goesByLoad(job.spec.balance) || tx.now < loads.askAt) return;
  loads.askAt = tx.now + (job.spec.balancing ?? DEFAULT_BALANCE).interval * 1000;
  loads.waiting.clear();
  for (const host of job.hosts.values()) {
    const up = host.node !== null && tx.cluster.nodes.get(host.node)?.link === 'up';
    if (!up || (host.state !== 'active' && host.state !== 'draining') || host.threads.size === 0) continue;
    loads.waiting.add(host.member);
    tx.toHost(job, host, { t: 'query', query: QUERY });
  }
}

/** Milliseconds; by the host's clock if it says. Times of different hosts are never compared. */
export function measuredAt({ clock }: { clock?: number | undefined }, now: number): number {
  return clock === undefined ? now : clock * 1000;
}

/** When all have answered it is time to look whether something should move. */
export function onReport(tx: Tx, job: Job, host: Host, report: Extract<FromHost, { t: 'report' }>): void {
  if (report.query !== QUERY && report.query !== SIZES) return;
  const { loads } = job;
  noteLoads(loads, report.threads, thread => job.threads.get(thread)?.member, measuredAt(report, tx.now));
  if (report.query !== QUERY || !loads.waiting.delete(host.member) || loads.waiting.size > 0) return;
  job.balanceAt = tx.now;
  job.touched = true;
}
