import { balance } from './balance.js';
import { firstThreads } from './first-threads.js';
import { spawnHost, stopHost } from './hosts.js';
import { publishJob } from './job-end.js';
import { advanceHost, advanceJob, NODE_LEAVING } from './lifecycle.js';
import { askMove } from './moves.js';
import type { Host, Job } from './state.js';
import type { Tx } from './tx.js';
import { changeView, hostName } from './views.js';

/**
 * Brings a job one step closer to what the cluster asks for: a host on every active node, none on others, threads even.
 * Idempotent: called after any event that touched the job, it does what is possible now and no more.
 */
export function reconcile(tx: Tx, job: Job): void {
  job.touched = false;
  if (job.state === 'starting') startWhenReady(tx, job);
  if (job.state !== 'running') return;
  const changed = changeMembers(tx, job);
  for (const host of job.hosts.values()) {
    if (host.state === 'draining' && isEmpty(host)) {
      advanceHost(host, 'handing', hostName(job, host));
      tx.toHost(job, host, { t: 'drain' });
    }
  }
  for (const move of job.moves.values()) {
    if (move.state === 'waiting' && job.hosts.get(move.to)?.state === 'active') askMove(tx, job, move);
  }
  const due = job.balanceAt !== null && job.balanceAt <= tx.now;
  if (due) job.balanceAt = null;
  if (changed || due || hasClosing(job)) job.balancing = true;
  if (!job.balancing || !mayPlan(tx, job, changed)) return;
  balance(tx, job);
  if (job.moves.size === 0) {
    job.balancing = false;
    job.balanceCause = 'balance';
  }
}

/** Planning takes time in proportion to the hosts: with many of them it is not done anew for every move that ends. */
const HOSTS_PER_MS = 20;

function mayPlan(tx: Tx, job: Job, changed: boolean): boolean {
  const next = job.plannedAt + Math.floor(job.hosts.size / HOSTS_PER_MS);
  if (!changed && tx.now < next) {
    if (job.balanceAt === null || job.balanceAt > next) {
      job.balanceAt = next;
      tx.effects.push({ type: 'wake', at: next });
    }
    return false;
  }
  job.plannedAt = tx.now;
  return true;
}

function isEmpty(host: Host): boolean {
  return host.threads.size === 0 && host.coming === 0 && host.leaving === 0;
}

function hasClosing(job: Job): boolean {
  for (const host of job.hosts.values()) {
    if (host.state === 'draining' || host.state === 'handing' || host.state === 'drained') return true;
  }
  return false;
}

/** How long hosts that are ready wait for others that are starting, ms. */
const COMPANY_MS = 300;

/** Members that come, begin to drain, or are done: one new view for all of them. True if there was any. */
function changeMembers(tx: Tx, job: Job): boolean {
  const entering: Host[] = [];
  const draining: Host[] = [];
  const leaving: Host[] = [];
  const covered = new Set<string>();
  let starting = false;
  for (const host of [...job.hosts.values()]) {
    const closing = host.node !== null && tx.cluster.nodes.get(host.node)?.state !== 'active';
    if (host.node !== null && !host.lite && host.state !== 'stopping') covered.add(host.node);
    if ((host.state === 'ready' || host.state === 'spawning') && closing) {
      stopHost(tx, job, host, NODE_LEAVING);
    } else if (host.state === 'spawning') {
      starting ||= !host.lite && host.node !== null;
    } else if (host.state === 'ready') {
      entering.push(host);
    } else if (host.state === 'active' && host.lite && host.node !== null && isEmpty(host)) {
      leaving.push(host);
    } else if (host.state === 'active' && !host.lite && closing) {
      draining.push(host);
    } else if (host.state === 'drained' && isEmpty(host)) {
      leaving.push(host);
    }
  }
  for (const node of tx.cluster.nodes.values()) {
    if (node.state === 'active' && node.link === 'up' && !covered.has(node.name) && !job.excluded.has(node.name)) {
      spawnHost(tx, job, node, false);
      starting = true;
    }
  }
  if (entering.length + draining.length + leaving.length === 0) {
    job.viewAt = null;
    return false;
  }
  if (!isDue(tx, job, starting && draining.length + leaving.length === 0)) return false;
  for (const host of draining) advanceHost(host, 'draining', hostName(job, host));
  if (entering.some(host => !host.lite)) job.balanceCause = 'join';
  changeView(tx, job, entering, draining, leaving);
  for (const host of leaving) stopHost(tx, job, host, host.lite ? 'no thread needs it any more' : 'drained');
  return entering.some(host => !host.lite) || draining.length > 0;
}

/** Is it time for a view, or may more changes come to go with it? Asks to be woken if not. */
function isDue(tx: Tx, job: Job, company: boolean): boolean {
  const soon = tx.now + tx.cluster.settings.batchMs;
  if (job.viewAt === null) job.viewAt = company ? tx.now + COMPANY_MS : soon;
  else if (!company) job.viewAt = Math.min(job.viewAt, soon);
  if (job.viewAt > tx.now) {
    tx.effects.push({ type: 'wake', at: job.viewAt });
    return false;
  }
  job.viewAt = null;
  return true;
}

/** All hosts have said hello: the first view, then the threads, spread by threads per core. */
function startWhenReady(tx: Tx, job: Job): void {
  const hosts = [...job.hosts.values()].filter(host => host.state === 'spawning' || host.state === 'ready');
  if (hosts.length === 0 || hosts.some(host => host.state === 'spawning')) return;
  changeView(tx, job, hosts, [], []);
  advanceJob(job, 'running', job.id);
  publishJob(tx, job, 'running');
  const { kind, n } = job.spec;
  const count = kind === 'main' ? 1 : n;
  for (const { member, rank, thread } of firstThreads(job.spec, hosts)) {
    job.first.add(`${member}.${thread}`);
    const host = job.hosts.get(member);
    if (host) tx.toHost(job, host, { t: 'start', role: 'main', rank, count, threads: n, thread });
  }
}
