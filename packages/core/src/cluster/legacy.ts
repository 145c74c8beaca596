import { drainKey, jobKey, keptKey, type Legacy, outcomeKey } from '../store/records.js';
import type { JobOutcome } from '../wire/agent-messages.js';
import { setDeadline } from './deadline.js';
import { HISTORY, keepOutcome } from './job-end.js';
import type { Expected, Job, Node } from './state.js';
import type { Tx } from './tx.js';

// What an earlier coordinator has left in the store, beside what the agents know: jobs whose nodes are not back yet, how jobs ended,
// drains, and threads that are kept where they are.

/** The first event of a term. */
export function inherit(tx: Tx, { jobs, outcomes, drains, kept }: Legacy): void {
  const { cluster } = tx;
  for (const { endedAt: _, ...outcome } of outcomes) cluster.history.push(outcome);
  for (const { job } of cluster.history.splice(0, Math.max(0, cluster.history.length - HISTORY)))
    tx.record(outcomeKey(job), null);
  const over = new Set(cluster.history.map(({ job }) => job));
  for (const [id, { name, kind, n, startedAt }] of jobs) {
    // It ended just before its coordinator did.
    if (over.has(id)) tx.record(jobKey(id), null);
    else cluster.expected.set(id, { id, name, kind, n, startedAt, since: tx.now, watchers: [] });
  }
  for (const [name, drain] of drains) cluster.drains.set(name, { ...drain, since: tx.now });
  for (const [id, threads] of kept) {
    if (cluster.expected.has(id)) cluster.kept.set(id, threads);
    else for (const thread of threads) tx.record(keptKey(id, thread), null);
  }
}

/** A node with an interrupted drain is back: it goes on as soon as it can. */
export function resumeDrain(tx: Tx, node: Node): void {
  const drain = tx.cluster.drains.get(node.name);
  if (!drain) return;
  tx.cluster.drains.delete(node.name);
  node.wantsLeave ??= 'asked to, before the coordinator was succeeded';
  tx.cluster.unsettled = true;
  if (drain.leaveBy !== null) setDeadline(tx, node, (drain.leaveBy - tx.now) / 1000);
  if (node.state === 'draining') noteDrain(tx, node);
}

/** A drain has begun, or has another deadline. */
export function noteDrain(tx: Tx, node: Node): void {
  tx.record(drainKey(node.name), { leaveBy: node.leaveBy });
}

/** A job is known, by a client or by its nodes. */
export function noteJob(tx: Tx, job: Job): void {
  const { name, kind, n } = job.spec;
  tx.record(jobKey(job.id), { name, kind, n, startedAt: job.startedAt });
}

/** A job is known again, or over: nobody has to wait for news of it. @returns who did */
export function arrived(tx: Tx, id: string): Expected['watchers'] {
  const expected = tx.cluster.expected.get(id);
  tx.cluster.expected.delete(id);
  return expected?.watchers ?? [];
}

/** An expected job is over. */
export function settleExpected(tx: Tx, id: string, outcome: JobOutcome): void {
  for (const waiter of arrived(tx, id)) {
    const { job, state, status, reason, seconds } = outcome;
    tx.reply(waiter, { job, state, outcome: { job, state, status, reason, seconds } });
  }
  for (const thread of tx.cluster.kept.get(id) ?? []) tx.record(keptKey(id, thread), null);
  tx.cluster.kept.delete(id);
  keepOutcome(tx, outcome);
  const { state, status, reason, seconds } = outcome;
  tx.publish({ event: 'job', job: id, state, status, reason, seconds });
}

/** Ends an expected job that none of its nodes knows. */
export function giveUp(tx: Tx, expected: Expected, state: 'failed' | 'cancelled', reason: string): void {
  const { id, name, kind, n, startedAt } = expected;
  const seconds = Math.max(0, (tx.now - startedAt) / 1000);
  tx.log(state === 'failed' ? 'error' : 'info', `job ${id} ${state}: ${reason}`, { job: id });
  settleExpected(tx, id, { job: id, name, kind, n, state, status: null, reason, seconds, epoch: 0 });
}

/** No node has brought news of these for as long as a node may be away. */
export function settleLegacy(tx: Tx): void {
  const { graceMs } = tx.cluster.settings;
  for (const [name, { since }] of tx.cluster.drains) {
    if (tx.now - since < graceMs) continue;
    tx.cluster.drains.delete(name);
    tx.record(drainKey(name), null);
  }
  for (const expected of [...tx.cluster.expected.values()]) {
    if (tx.now - expected.since < graceMs) continue;
    const reason = `none of its nodes came back within ${graceMs / 1000} s after its coordinator had gone`;
    giveUp(tx, expected, 'failed', reason);
  }
}
