import { DEFAULT_BALANCE } from '../plan/options.js';
import { plan } from '../plan/policy.js';
import type { PlannedMove } from '../plan/snapshot.js';
import { inOrder } from './deadline.js';
import { avoids, extraHost, startMove } from './moves.js';
import { takeSnapshot } from './snapshot.js';
import { type Job, mainHost } from './state.js';
import type { Tx } from './tx.js';

/** Begins the moves that the job's policy asks for now, as many as may run at once; the rest is planned anew when they have ended. */
export function carryOut(tx: Tx, job: Job): void {
  const limit = tx.cluster.settings.movesPerHost;
  const { balance, balancing } = job.spec;
  const moves = plan(balance, takeSnapshot(tx.cluster, job), balancing ?? DEFAULT_BALANCE);
  for (const { thread: id, to: name, cause } of urgentFirst(tx, job, moves)) {
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

/** Moves off nodes that are to be empty by a certain time come in the order that saves the most. */
function urgentFirst(tx: Tx, job: Job, moves: readonly PlannedMove[]): PlannedMove[] {
  const rank = new Map<string, number>();
  for (const name of new Set(moves.map(({ from }) => from))) {
    const node = tx.cluster.nodes.get(name);
    if (node?.leaveBy == null) continue;
    const ids = moves.flatMap(({ from, thread }) => (from === name ? [thread] : []));
    for (const id of inOrder(tx, job, node, ids)) rank.set(id, rank.size);
  }
  const of = ({ thread }: PlannedMove) => rank.get(thread) ?? Number.MAX_SAFE_INTEGER;
  return rank.size === 0 ? [...moves] : [...moves].sort((a, b) => of(a) - of(b));
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
