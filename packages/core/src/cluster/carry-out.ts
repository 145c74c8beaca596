import { DEFAULT_BALANCE } from '../plan/options.js';
import { plan } from '../plan/policy.js';
import { avoids, extraHost, startMove } from './moves.js';
import { takeSnapshot } from './snapshot.js';
import { type Job, mainHost } from './state.js';
import type { Tx } from './tx.js';

/** Begins the moves that the job's policy asks for now, as many as may run at once; the rest is planned anew when they have ended. */
export function carryOut(tx: Tx, job: Job): void {
  const limit = tx.cluster.settings.movesPerHost;
  const { balance, balancing } = job.spec;
  for (const { thread: id, to: name, cause } of plan(
    balance,
    takeSnapshot(tx.cluster, job),
    balancing ?? DEFAULT_BALANCE,
  )) {
    const thread = job.threads.get(id);
    const from = thread && job.hosts.get(thread.member);
    const to = mainHost(job, name);
    if (!thread || !from || !to || from.leaving >= limit) continue;
    const target = avoids(tx, thread, to) ? extraHost(tx, job, thread, name) : to;
    if (!target || target.coming >= limit) continue;
    startMove(tx, job, thread, target, cause === 'drain' ? 'drain' : job.balanceCause, { collision: target !== to });
  }
  wakeForHeld(tx, job);
}

/** Threads that may be tried again later are, then. */
function wakeForHeld(tx: Tx, job: Job): void {
  for (const id of job.held) {
    const thread = job.threads.get(id);
    if (!thread || (thread.movable && thread.retryAt <= tx.now && !thread.kept)) job.held.delete(id);
    else if (thread.retryAt > tx.now && (job.balanceAt === null || job.balanceAt > thread.retryAt))
      job.balanceAt = thread.retryAt;
  }
}
