import { planShifts } from '../plan/moves.js';
import type { NodeLoad } from '../plan/targets.js';
import type { MoveCause } from '../wire/host-messages.js';
import { carryOut } from './carry-out.js';
import { inOrder } from './deadline.js';
import { isSelective } from './destinations.js';
import { goesByLoad } from './measure.js';
import { avoids, extraHost, startMove } from './moves.js';
import { detour, isSevered } from './severed.js';
import type { Host, Job, Thread } from './state.js';
import type { Tx } from './tx.js';

/** A job's hosts on one node. */
interface Place {
  load: NodeLoad;
  main: Host | null;
  hosts: Host[];
}

/**
 * Begins the moves that the plan for the present state asks for, as many as may run at once. Policies that go by numbers of
 * threads alone are served by counts per node, where all nodes are alike and have room: with 65,536 threads a plan is made for every few moves.
 */
export function balance(tx: Tx, job: Job): void {
  if (goesByLoad(job.spec.balance) || isSelective(job, tx.now)) {
    carryOut(tx, job);
    return;
  }
  const places = gather(tx, job);
  const keep = job.spec.balance === 'none';
  const loads = [...places.values()].map(({ load }) => (keep && load.open ? { ...load, fixed: load.threads } : load));
  for (const shift of planShifts(loads)) {
    const [from, to] = [places.get(shift.from), places.get(shift.to)];
    if (from && to?.main) shiftThreads(tx, job, from, to.main, shift.threads);
  }
}

function gather(tx: Tx, job: Job): Map<string, Place> {
  const places = new Map<string, Place>();
  for (const host of job.hosts.values()) {
    if (host.node === null || host.state === 'gone' || host.state === 'stopping') continue;
    const node = tx.cluster.nodes.get(host.node);
    if (!node) continue;
    let place = places.get(host.node);
    if (!place) {
      place = {
        load: { id: host.node, cores: node.info.cores, threads: 0, fixed: 0, open: false },
        main: null,
        hosts: [],
      };
      places.set(host.node, place);
    }
    place.hosts.push(host);
    place.load.threads += host.threads.size - host.leaving + host.coming;
    if (!host.lite && host.state === 'active' && node.state === 'active' && node.link === 'up') {
      place.main = host;
      place.load.open = true;
    }
  }
  for (const place of places.values()) for (const host of place.hosts) place.load.fixed += host.coming;
  // A thread that has arrived, or ended, while the news of its move's end is on the way has been counted already.
  for (const move of job.moves.values()) {
    const thread = job.threads.get(move.thread);
    if (thread && thread.member !== move.to) continue;
    const [from, to] = [move.from, move.to].map(member => places.get(job.hosts.get(member)?.node ?? ''));
    if (from) from.load.threads++;
    if (to) {
      to.load.threads--;
      to.load.fixed--;
    }
  }
  for (const id of job.held) {
    const thread = job.threads.get(id);
    const node = thread && job.hosts.get(thread.member)?.node;
    if (thread && thread.retryAt > tx.now && (job.balanceAt === null || job.balanceAt > thread.retryAt))
      job.balanceAt = thread.retryAt;
    const place = typeof node === 'string' ? places.get(node) : undefined;
    if (!thread || (mayMove(tx, thread, true) && thread.move === null)) job.held.delete(id);
    else if (place && thread.move === null && !mayMove(tx, thread, place.load.open)) place.load.fixed++;
  }
  return places;
}

function mayMove(tx: Tx, thread: Thread, placeOpen: boolean): boolean {
  return thread.movable && thread.retryAt <= tx.now && !(thread.kept && placeOpen);
}

function shiftThreads(tx: Tx, job: Job, from: Place, to: Host, wanted: number): void {
  const limit = tx.cluster.settings.movesPerHost;
  const cause: MoveCause = from.load.open ? job.balanceCause : 'drain';
  let left = wanted;
  // Extra hosts are emptied first, so that they can go.
  const sources = [...from.hosts].sort((a, b) => Number(b.lite) - Number(a.lite) || a.member - b.member);
  for (const source of sources) {
    for (const id of inOrder(tx, job, tx.cluster.nodes.get(from.load.id), source.threads)) {
      if (left === 0 || source.leaving >= limit) break;
      const thread = job.threads.get(id);
      if (!thread || thread.move !== null || !mayMove(tx, thread, from.load.open)) continue;
      const way = !isSevered(tx, job, source, to) ? to : from.load.open ? null : detour(tx, job, thread, source);
      if (!way) continue;
      const target = avoids(tx, thread, way) && way.node !== null ? extraHost(tx, job, thread, way.node) : way;
      if (!target || target.coming >= limit) continue;
      startMove(tx, job, thread, target, cause, { collision: target !== way });
      left--;
    }
  }
}
