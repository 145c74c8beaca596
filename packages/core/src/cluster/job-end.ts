import { jobKey, keptKey, outcomeKey } from '../store/records.js';
import type { JobOutcome } from '../wire/agent-messages.js';
import { stopHost } from './hosts.js';
import { advanceJob } from './lifecycle.js';
import type { Job } from './state.js';
import type { Tx } from './tx.js';

/** Settles the outcome of a job and has all its hosts stopped. The first outcome counts; later ones are ignored. */
export function endJob(
  tx: Tx,
  job: Job,
  state: 'done' | 'failed' | 'cancelled',
  status: number | null,
  reason: string | null,
): void {
  if (job.state !== 'recovering' && job.state !== 'starting' && job.state !== 'running') return;
  advanceJob(job, 'ending', job.id);
  job.outcome = { state, status, reason };
  job.endingAt = tx.now;
  for (const move of job.moves.values()) {
    if (move.waiter) tx.refuse(move.waiter, 'not-found', `job ${job.id} has ended`);
  }
  job.moves.clear();
  tx.log(state === 'failed' ? 'error' : 'info', `job ${job.id} ${state}${reason ? `: ${reason}` : ''}`, {
    job: job.id,
    status,
  });
  publishJob(tx, job, 'ending');
  for (const host of [...job.hosts.values()]) stopHost(tx, job, host, reason ?? `the job is ${state}`);
  finishIfStopped(tx, job);
}

/** A job that is `ending` is over when none of its hosts is left. */
export function finishIfStopped(tx: Tx, job: Job): void {
  if (job.state !== 'ending' || job.hosts.size > 0 || !job.outcome) return;
  const { state, status, reason } = job.outcome;
  advanceJob(job, state, job.id);
  const seconds = (tx.now - job.startedAt) / 1000;
  tx.cluster.jobs.delete(job.id);
  tx.cluster.unsettled = true;
  const { name, kind, n } = job.spec;
  const outcome = { job: job.id, name, kind, n, state, status, reason, seconds, epoch: job.epoch };
  keepOutcome(tx, outcome);
  for (const thread of job.recorded) tx.record(keptKey(job.id, thread), null);
  for (const node of tx.cluster.nodes.keys()) tx.toAgent(node, { t: 'forget', job: job.id, outcome });
  for (const waiter of job.waiters) tx.reply(waiter, { job: job.id, state, status, reason });
  publishJob(tx, job, state);
}

export const HISTORY = 200;

export function keepOutcome(tx: Tx, outcome: JobOutcome): void {
  const { history } = tx.cluster;
  if (history.some(({ job }) => job === outcome.job)) return;
  history.push(outcome);
  tx.record(outcomeKey(outcome.job), { ...outcome, endedAt: tx.now });
  tx.record(jobKey(outcome.job), null);
  const oldest = history.length > HISTORY ? history.shift() : undefined;
  if (oldest) tx.record(outcomeKey(oldest.job), null);
}

export function publishJob(tx: Tx, job: Job, state: string): void {
  const { status, reason } = job.outcome ?? { status: null, reason: null };
  tx.publish({ event: 'job', job: job.id, state, status, reason, seconds: (tx.now - job.startedAt) / 1000 });
}
