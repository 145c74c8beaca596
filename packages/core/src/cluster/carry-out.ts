import { DEFAULT_BALANCE } from '../plan/options.js';
import { plan } from '../plan/policy.js';
import type { PlannedMove, Snapshot } from '../plan/snapshot.js';
import { inOrder } from './deadline.js';
import { isSelective, whyNotThere } from './destinations.js';
import { avoids, extraHost, keepStranded, startMove } from './moves.js';
import { detour, isSevered } from './severed.js';
import { takeSnapshot } from './snapshot.js';
import { type Job, mainHost } from './state.js';
import type { Tx } from './tx.js';

/** Begins the moves that the job's policy asks for now, as many as may run at once; the rest is planned anew when they have ended. */
export function carryOut(tx: Tx, job: Job): void {
  const limit = tx.cluster.settings.movesPerHost;
  const { balance, balancing } = job.spec;
  const snapshot = takeSnapshot(tx.cluster, job);
  const moves = plan(balance, snapshot, balancing ?? DEFAULT_BALANCE);
  for (const { thread: id, to: name, cause } of urgentFirst(tx, job, moves)) {
    const thread = job.threads.get(id);
    const from = thread && job.hosts.get(thread.member);
    const to = mainHost(job, name);
    if (!thread || !from || !to || from.leaving >= limit) continue;
    const way = !isSevered(tx, job, from, to) ? to : cause === 'drain' ? detour(tx, job, thread, from) : null;
    if (!way) continue;
    const target = avoids(tx, thread, way) && way.node !== null ? extraHost(tx, job, thread, way.node) : way;
    if (!target || target.coming >= limit) continue;
    startMove(tx, job, thread, target, cause === 'drain' ? 'drain' : job.balanceCause, { collision: target !== way });
  }
  if (isSelective(job, tx.now)) holdStranded(tx, job, snapshot);
  wakeForHeld(tx, job);
}

/** Threads that must leave and can go to no other node: each is said once, and waits for one that joins or has room again. */
function holdStranded(tx: Tx, job: Job, { nodes, threads }: Snapshot): void {
  const open = nodes.filter(node => node.open);
  const leaving = new Set(nodes.flatMap(node => (node.open ? [] : [node.id])));
  for (const { id, node, held, barred } of threads) {
    const thread = job.threads.get(id);
    if (!thread || held !== null || !leaving.has(node)) continue;
    const reasons = open.flatMap(({ id: other }) => whyNotThere(job, thread, other, tx.now) ?? []);
    if (barred === undefined || reasons.length < open.length) continue;
    keepStranded(tx, job, thread, node, reasons[0] ?? 'there is no other node');
  }
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

/** Threads and nodes that may be tried again later are, then. */
function wakeForHeld(tx: Tx, job: Job): void {
  for (const until of job.full.values()) if (job.balanceAt === null || job.balanceAt > until) job.balanceAt = until;
  for (const id of job.held) {
    const thread = job.threads.get(id);
    if (!thread || (thread.movable && thread.retryAt <= tx.now && !thread.kept)) job.held.delete(id);
    else if (thread.retryAt > tx.now && (job.balanceAt === null || job.balanceAt > thread.retryAt))
      job.balanceAt = thread.retryAt;
  }
}
