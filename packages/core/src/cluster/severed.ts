import type { FromHost } from '../wire/host-messages.js';
import { whyNotThere } from './destinations.js';
import { endJob } from './job-end.js';
import { type Host, type Job, mainHost, type Thread } from './state.js';
import type { Tx } from './tx.js';

// Two hosts of a job that do not reach each other's data port, while both are in touch with the coordinator. A move between them
// goes by way of another node, or waits; memory operations wait, for the job's peer timeout, and then the job fails.

/** How long no further move is tried between two hosts after one has found no way, ms. */
const SEVERED = 15_000;

function pair(a: number, b: number): string {
  return a < b ? `${a}-${b}` : `${b}-${a}`;
}

/** A move has found no way between two members. */
export function sever(tx: Tx, job: Job, a: number, b: number): void {
  job.severed.set(pair(a, b), tx.now + SEVERED);
}

/** Is it not worth trying now? Then it will be tried again later. */
export function isSevered(tx: Tx, job: Job, a: Host, b: Host): boolean {
  const key = pair(a.member, b.member);
  const until = job.severed.get(key);
  if (until === undefined) return false;
  if (until <= tx.now) {
    job.severed.delete(key);
    return false;
  }
  if (job.balanceAt === null || job.balanceAt > until) job.balanceAt = until;
  return true;
}

/** Where a thread that must leave its node goes when the way to where it should go is severed. Null: nowhere now. */
export function detour(tx: Tx, job: Job, thread: Thread, from: Host): Host | null {
  let best: Host | null = null;
  for (const node of tx.cluster.nodes.values()) {
    const host = mainHost(job, node.name);
    if (node.state !== 'active' || node.link !== 'up' || node.name === from.node) continue;
    if (host?.state !== 'active' || isSevered(tx, job, from, host)) continue;
    if (whyNotThere(job, thread, node.name, tx.now) !== null) continue;
    if (best === null || crowd(host) < crowd(best)) best = host;
  }
  return best;
}

function crowd({ threads, coming, cores }: Host): number {
  return (threads.size + coming) / Math.max(1, cores);
}

type Unreachable = Extract<FromHost, { t: 'unreachable' }>;

/**
 * A host has waited for another for the peer timeout: the job cannot go on. Not so while one of the two is out of touch with the
 * coordinator, or was until lately: then it is the node that is cut off, and the grace period says for how long. The host
 * reports it again after another timeout.
 */
export function onUnreachable(tx: Tx, job: Job, host: Host, message: Unreachable): void {
  const other = job.hosts.get(message.member);
  const who = `member ${message.member}${other?.node == null ? '' : ` on ${other.node}`}`;
  const { peerTimeout } = job.spec;
  tx.log('warn', `job ${job.id}: member ${host.member} on ${host.node} does not reach ${who}: ${message.reason}`);
  const settled = [host, other].every(one => {
    const node = one?.node == null ? undefined : tx.cluster.nodes.get(one.node);
    return node?.link === 'up' && tx.now - node.upSince >= peerTimeout * 1000;
  });
  if (job.state !== 'running' || !other || !settled) return;
  if (other.state === 'stopping' || other.state === 'gone') return;
  const reason = `node ${host.node} has not reached node ${other.node} (${other.address}:${other.port}) for ${peerTimeout} s (dmi run --peer-timeout): ${message.reason}`;
  endJob(tx, job, 'failed', null, reason);
}
