import { DmiError } from '../errors.js';
import { drainKey } from '../store/records.js';
import type { NodeInfo } from '../wire/agent-messages.js';
import { unbar } from './destinations.js';
import { hostGone } from './hosts.js';
import { endJob } from './job-end.js';
import { noteDrain } from './legacy.js';
import { advanceNode } from './lifecycle.js';
import { type Cluster, type Job, mainHost, type Node, type Waiter } from './state.js';
import type { Tx } from './tx.js';

export function addNode(tx: Tx, name: string, info: NodeInfo): Node {
  const node: Node = {
    name,
    info: { ...info, name },
    state: 'active',
    link: 'up',
    downSince: null,
    upSince: tx.now,
    joinedAt: tx.now,
    wantsLeave: null,
    drainStartedAt: null,
    leaveBy: null,
    overdue: false,
    waiters: [],
  };
  tx.cluster.nodes.set(name, node);
  tx.cluster.unsettled = true;
  tx.publish({ event: 'join', node: name, cores: info.cores });
  tx.log('info', `node ${name} joined`, { node: name, cores: info.cores, memory: info.memory, address: info.address });
  for (const job of tx.cluster.jobs.values()) {
    job.excluded.delete(name);
    unbar(job, name);
    job.touched = true;
  }
  return node;
}

/** The name a new node gets: its own, or that with a number if another live node has it and it was not asked for. Null: taken. */
export function freeName(cluster: Cluster, info: NodeInfo): string | null {
  const free = (name: string) => {
    const node = cluster.nodes.get(name);
    return !node || (node.link === 'down' && node.info.hostname === info.hostname && info.nameFixed);
  };
  if (free(info.name)) return info.name;
  if (info.nameFixed) return null;
  for (let i = 2; ; i++) if (free(`${info.name}-${i}`)) return `${info.name}-${i}`;
}

/** The node will not come back: jobs with hosts there cannot go on. */
export function nodeDead(tx: Tx, node: Node, detail: string): void {
  advanceNode(node, 'dead', node.name);
  tx.log('error', `node ${node.name} is dead: ${detail}`, { node: node.name });
  for (const job of [...tx.cluster.jobs.values()]) {
    for (const [member, { node: name }] of job.recovery?.reports ?? [])
      if (name === node.name) job.recovery?.reports.delete(member); // it may come back with them
    const hosts = [...job.hosts.values()].filter(host => host.node === node.name);
    if (hosts.length === 0) continue;
    const needed = hosts.some(host => host.state !== 'spawning' && host.state !== 'ready' && host.state !== 'stopping');
    if (needed) endJob(tx, job, 'failed', null, `node ${node.name} was lost with a part of the job: ${detail}`);
    for (const host of hosts) hostGone(tx, job, host);
    if (job.state === 'starting' && job.hosts.size === 0)
      endJob(tx, job, 'failed', null, `node ${node.name} was lost: ${detail}`);
  }
  removeNode(tx, node, 'dead', detail);
}

function removeNode(tx: Tx, node: Node, reason: 'drained' | 'dead', detail: string): void {
  tx.cluster.nodes.delete(node.name);
  if (node.drainStartedAt !== null) tx.record(drainKey(node.name), null);
  for (const waiter of node.waiters) {
    if (reason === 'drained')
      tx.reply(waiter, { node: node.name, seconds: (tx.now - (node.drainStartedAt ?? tx.now)) / 1000 });
    else tx.refuse(waiter, 'unreachable', `node ${node.name} died while it drained: ${detail}`);
  }
  tx.publish({ event: 'leave', node: node.name, reason, detail });
  for (const job of tx.cluster.jobs.values()) job.touched = true;
}

/** Why the node cannot be drained: the job that would have nowhere to go. Null: it can. */
export function drainObstacle(tx: Tx, node: Node): Job | null {
  for (const job of tx.cluster.jobs.values()) {
    if (job.state === 'ending') continue;
    if (job.recovery) return job;
    const here = [...job.hosts.values()].some(host => host.node === node.name && host.state !== 'stopping');
    if (!here) continue;
    const elsewhere = [...tx.cluster.nodes.values()].some(
      other =>
        other !== node &&
        other.state === 'active' &&
        other.link === 'up' &&
        !job.excluded.has(other.name) &&
        (job.state === 'starting' ? mainHost(job, other.name) !== undefined : true),
    );
    if (!elsewhere) return job;
  }
  return null;
}

/** Has a node give everything away and leave. Refused for the last node of a job. */
export function drainNode(tx: Tx, node: Node, waiter: Waiter | null): void {
  if (node.state === 'draining') {
    if (waiter) node.waiters.push(waiter);
    return;
  }
  const obstacle = drainObstacle(tx, node);
  if (obstacle) {
    const reason = obstacle.recovery
      ? `cannot drain node ${node.name} yet: job ${obstacle.id} is being learnt from its nodes after a restart`
      : `cannot drain node ${node.name}: it is the last node, and job ${obstacle.id} runs on it`;
    if (waiter && obstacle.recovery) tx.refuse(waiter, 'busy', reason, 'try again in a few seconds');
    else if (waiter)
      tx.refuse(waiter, 'last-node', reason, `start another agent first, or end the job: dmi kill ${obstacle.id}`);
    else tx.toAgent(node.name, { t: 'leave-refused', reason });
    return;
  }
  advanceNode(node, 'draining', node.name);
  node.drainStartedAt = tx.now;
  noteDrain(tx, node);
  tx.cluster.unsettled = true;
  if (waiter) node.waiters.push(waiter);
  let threads = 0;
  for (const job of tx.cluster.jobs.values()) {
    job.touched = true;
    for (const host of job.hosts.values()) if (host.node === node.name) threads += host.threads.size;
  }
  tx.publish({ event: 'drain-started', node: node.name, threads });
  tx.log('info', `draining node ${node.name}`, { node: node.name, threads });
}

/**
 * The node stays. Hosts that have begun to leave do so — their memory is being handed over — and new ones take their place.
 * @throws DmiError `refused` if it is not draining
 */
export function cancelDrain(tx: Tx, node: Node): void {
  if (node.state !== 'draining')
    throw new DmiError('refused', `node ${node.name} is not draining`, { object: node.name, hint: 'see: dmi nodes' });
  advanceNode(node, 'active', node.name);
  node.drainStartedAt = null;
  node.wantsLeave = null;
  node.leaveBy = null;
  node.overdue = false;
  tx.record(drainKey(node.name), null);
  for (const waiter of node.waiters) tx.refuse(waiter, 'cancelled', `the drain of node ${node.name} was cancelled`);
  node.waiters = [];
  tx.publish({ event: 'drain-cancelled', node: node.name });
  tx.log('info', `the drain of node ${node.name} was cancelled`, { node: node.name });
  for (const job of tx.cluster.jobs.values()) job.touched = true;
}

/** Lets draining nodes go that have no host left, and grants what agents have asked for. */
export function settleDrains(tx: Tx): void {
  if (!tx.cluster.unsettled) return;
  tx.cluster.unsettled = false;
  const used = usedNodes(tx.cluster);
  for (const node of [...tx.cluster.nodes.values()]) {
    if (node.wantsLeave !== null && node.state === 'active' && drainObstacle(tx, node) === null)
      drainNode(tx, node, null);
    if (node.state !== 'draining' || used.has(node.name)) continue;
    const seconds = (tx.now - (node.drainStartedAt ?? tx.now)) / 1000;
    advanceNode(node, 'released', node.name);
    tx.publish({ event: 'drain-finished', node: node.name, seconds });
    tx.log('info', `node ${node.name} drained in ${seconds.toFixed(2)} s`, { node: node.name, seconds });
    tx.toAgent(node.name, { t: 'released', reason: node.wantsLeave ?? 'drained' });
    removeNode(tx, node, 'drained', node.wantsLeave ?? 'asked to');
    for (const job of tx.cluster.jobs.values()) rememberEnds(tx, job);
  }
}

/** Nodes that keep what is only known here besides. */
const COPIES = 2;

/** How first threads ended on nodes that have left is kept by others, for a coordinator that is restarted. */
function rememberEnds(tx: Tx, job: Job): void {
  if (job.state !== 'running') return;
  const exited = [...job.statuses]
    .filter(([thread]) => !tx.cluster.nodes.has(job.statusNode.get(thread) ?? ''))
    .map(([thread, status]) => ({ thread, status }));
  if (exited.length === 0) return;
  const keepers = [...job.hosts.values()].filter(host => host.state === 'active' && !host.lite).slice(0, COPIES);
  for (const { node, member } of keepers)
    if (node !== null) tx.toAgent(node, { t: 'remember', job: job.id, member, exited });
}

function usedNodes(cluster: Cluster): Set<string> {
  const used = new Set<string>();
  for (const job of cluster.jobs.values()) {
    for (const host of job.hosts.values()) if (host.node !== null) used.add(host.node);
    for (const { node } of job.recovery?.reports.values() ?? []) used.add(node);
  }
  return used;
}
