import { DmiError } from '../errors.js';
import { drainOrder, drainSeconds } from '../plan/drain.js';
import { drainKey } from '../store/records.js';
import type { FromHost } from '../wire/host-messages.js';
import { noteLoads } from './loads.js';
import { measuredAt, SIZES } from './measure.js';
import type { Cluster, Host, Job, Node } from './state.js';
import type { Tx } from './tx.js';

// A node that is to be empty by a certain time: a drain with --deadline, or a spot notice of its agent.

/** What hosts say of their sizes, asked for before a drain with a deadline begins. */
export interface HostSizes {
  job: string;
  member: number;
  report: Extract<FromHost, { t: 'report' }>;
}

/** Threads of those that are left that an event lists. */
const LISTED = 1000;
/** The newest move's share of the measured rate. */
const NEWEST = 0.3;
/** Smaller moves say nothing about bytes per second. */
const LARGE = 1 << 20;

/** Bytes per second of moves, measured. */
export function noteRate(cluster: Cluster, bytes: number, seconds: number): void {
  if (bytes < LARGE || seconds <= 0) return;
  const rate = bytes / seconds;
  cluster.moveRate = cluster.moveRate === null ? rate : cluster.moveRate + NEWEST * (rate - cluster.moveRate);
}

/** The node is gone after so many seconds. An earlier deadline that it has stands. */
export function setDeadline(tx: Tx, node: Node, seconds: number): void {
  const at = tx.now + seconds * 1000;
  if (node.leaveBy !== null && node.leaveBy <= at) return;
  node.leaveBy = at;
  node.overdue = false;
  tx.effects.push({ type: 'wake', at });
  if (node.state === 'draining') tx.record(drainKey(node.name), { leaveBy: at });
  for (const [job, host] of hostsOn(tx.cluster, node))
    if (host.state !== 'spawning' && host.state !== 'stopping') tx.toHost(job, host, { t: 'query', query: SIZES });
}

/**
 * Can all that is on the node go elsewhere in time?
 * @throws DmiError `usage` for a deadline in the past, `refused` when it cannot
 */
export function checkDeadline(
  tx: Tx,
  node: Node,
  seconds: number,
  sizes: readonly HostSizes[],
  partial: boolean,
): void {
  if (!(seconds > 0))
    throw new DmiError('usage', `the deadline for draining node ${node.name} is in the past (${short(-seconds)} ago)`, {
      object: node.name,
      hint: 'give the seconds it has, like --deadline 120s, or leave --deadline out',
    });
  const owned = noteSizes(tx.cluster, sizes);
  if (partial) return;
  let here = 0;
  for (const [job, host] of hostsOn(tx.cluster, node)) {
    const mine = owned.get(`${job.id}/${host.member}`) ?? 0;
    here += mine;
    let room = 0;
    for (const other of job.hosts.values())
      if (other.node !== node.name && !other.lite && other.state === 'active')
        room += Math.max(0, other.pool - (owned.get(`${job.id}/${other.member}`) ?? 0));
    if (mine > room)
      throw new DmiError(
        'refused',
        `cannot drain node ${node.name}: job ${job.id} keeps ${size(mine)} of global memory there, and its other nodes have room for ${size(room)}`,
        { object: node.name, hint: 'start another agent first, or save what fits: --partial' },
      );
  }
  const rate = tx.cluster.moveRate;
  const threads = threadsOn(tx.cluster, node);
  const needed = rate === null ? 0 : drainSeconds(threads, here, rate);
  if (rate === null || needed <= seconds) return;
  const bytes = threads.reduce((sum, one) => sum + one.bytes, here);
  throw new DmiError(
    'refused',
    `cannot drain node ${node.name} in ${short(seconds)}: ${threads.length} threads and ${size(bytes)} need about ${short(needed)}, at the ${size(rate)}/s of earlier moves`,
    {
      object: node.name,
      hint: `give it longer (--deadline ${Math.ceil(needed * 1.2)}s), or save what fits: --partial`,
    },
  );
}

/** Threads of a node in the order in which they should leave it. */
export function inOrder(tx: Tx, job: Job, node: Node | undefined, ids: Iterable<string>): Iterable<string> {
  if (!node || node.leaveBy === null) return ids;
  const left = (node.leaveBy - tx.now) / 1000;
  const { moveRate } = tx.cluster;
  const all = drainOrder(threadsOn(tx.cluster, node), left, moveRate).filter(one => one.job === job);
  const wanted = new Set(ids);
  return all.flatMap(({ thread }) => (wanted.has(thread) ? [thread] : []));
}

/** Says what could not be saved when the time is up. The drain goes on: the machine may stay a little longer. */
export function settleDeadlines(tx: Tx): void {
  for (const node of tx.cluster.nodes.values()) {
    if (node.leaveBy === null || node.overdue || tx.now < node.leaveBy) continue;
    node.overdue = true;
    const threads = threadsOn(tx.cluster, node);
    const left = threads.slice(0, LISTED).map(({ job, thread, bytes }) => {
      const known = job.threads.get(thread);
      const reason = known?.move ? 'it is being moved' : (known?.pinned ?? 'there was no time for it');
      return { job: job.id, thread, bytes, reason };
    });
    const bytes = threads.reduce((sum, one) => sum + one.bytes, 0);
    tx.publish({ event: 'drain-overdue', node: node.name, threads: threads.length, bytes, left });
    const some = left.slice(0, 4).map(({ thread, reason }) => `${thread} (${reason})`);
    const rest = threads.length > some.length ? ', …' : '';
    const what =
      threads.length === 0
        ? 'no thread is on it any more, but memory is still being handed over'
        : `${threads.length} threads, ${size(bytes)}, are still on it: ${some.join(', ')}${rest}`;
    tx.log('error', `node ${node.name} was not empty in time: ${what}`, {
      node: node.name,
      threads: threads.length,
      bytes,
    });
    for (const waiter of node.waiters)
      tx.refuse(
        waiter,
        'timeout',
        `node ${node.name} was not empty in time: ${what}`,
        `the drain goes on; take it back with: dmi drain ${node.name} --cancel`,
      );
    node.waiters = [];
  }
}

function* hostsOn(cluster: Cluster, node: Node): Iterable<[Job, Host]> {
  for (const job of cluster.jobs.values())
    for (const host of job.hosts.values()) if (host.node === node.name) yield [job, host];
}

function threadsOn(cluster: Cluster, node: Node): { job: Job; thread: string; bytes: number }[] {
  const found: { job: Job; thread: string; bytes: number }[] = [];
  for (const [job, host] of hostsOn(cluster, node))
    for (const thread of host.threads) found.push({ job, thread, bytes: job.loads.threads.get(thread)?.bytes ?? 0 });
  return found;
}

/** @returns bytes of global memory that each host owns, by `job/member` */
function noteSizes(cluster: Cluster, sizes: readonly HostSizes[]): Map<string, number> {
  const owned = new Map<string, number>();
  for (const { job: id, member, report } of sizes) {
    const job = cluster.jobs.get(id);
    if (!job) continue;
    noteLoads(job.loads, report.threads, thread => job.threads.get(thread)?.member, measuredAt(report, cluster.now));
    owned.set(`${id}/${member}`, report.memory?.bytesOwned ?? 0);
  }
  return owned;
}

function size(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  for (; bytes >= 1024 && unit < units.length - 1; unit++) bytes /= 1024;
  return `${unit === 0 || bytes >= 100 ? Math.round(bytes) : bytes.toFixed(1)} ${units[unit]}`;
}

function short(seconds: number): string {
  return seconds < 10 ? `${Number(seconds.toFixed(1))} s` : `${Math.round(seconds)} s`;
}
