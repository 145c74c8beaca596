import { asDmiError } from '../errors.js';
import type { AgentBody } from '../wire/agent-messages.js';
import type { FromHost } from '../wire/host-messages.js';
import { setDeadline, settleDeadlines } from './deadline.js';
import type { ClusterInput, Effect } from './events.js';
import { hostGone, onHello, onHostExited } from './hosts.js';
import { endJob } from './job-end.js';
import { inherit, resumeDrain, settleLegacy } from './legacy.js';
import { advanceHost } from './lifecycle.js';
import { measure, onReport } from './measure.js';
import { onMoved } from './moves.js';
import { addNode, nodeDead, settleDrains } from './nodes.js';
import { reconcile } from './reconcile.js';
import { adoptHosts, settleRecovery } from './recover.js';
import * as requests from './requests.js';
import { onUnreachable } from './severed.js';
import type { Cluster, Host, Job, Node } from './state.js';
import { faultReason, onArrived, onExited, onStarted } from './threads.js';
import { Tx } from './tx.js';
import { hostName } from './views.js';

/**
 * The coordinator's transition function: (state, event) -> (state, effects). No clock, no randomness, no IO: the same state
 * and event always give the same result. It takes the state over: the one returned is the next, and the one given must
 * not be used again (a cluster of 65,536 threads is not copied for every message).
 */
export function step(cluster: Cluster, input: ClusterInput): { cluster: Cluster; effects: Effect[] } {
  const tx = new Tx(cluster);
  cluster.now = Math.max(cluster.now, input.now);
  if ('waiter' in input) {
    try {
      apply(tx, input);
    } catch (thrown) {
      const error = asDmiError(thrown);
      if (error.code === 'internal' || error.code === 'illegal-transition')
        tx.log('error', error.stack ?? error.message);
      tx.refuse(input.waiter, error.code, error.message, error.hint ?? null);
    }
  } else {
    apply(tx, input);
  }
  for (let again = true; again; ) {
    again = false;
    for (const { node, body } of tx.deferred.splice(0)) onAgent(tx, node, body);
    for (const job of [...cluster.jobs.values()]) {
      if (job.touched && cluster.jobs.has(job.id)) {
        reconcile(tx, job);
        again ||= job.touched;
      }
    }
  }
  settleDrains(tx);
  return { cluster, effects: tx.effects };
}

function apply(tx: Tx, input: ClusterInput): void {
  const { cluster } = tx;
  switch (input.type) {
    case 'join': {
      const old = cluster.nodes.get(input.name);
      if (old) nodeDead(tx, old, 'its agent was started anew');
      const node = addNode(tx, input.name, input.node);
      adoptHosts(tx, node, input.hosts, input.outcomes);
      resumeDrain(tx, node);
      return;
    }
    case 'rejoin':
    case 'link-down': {
      const node = cluster.nodes.get(input.name);
      if (node) setLink(tx, node, input.type === 'rejoin' ? 'up' : 'down');
      return;
    }
    case 'agent':
      onAgent(tx, input.name, input.body);
      return;
    case 'submit':
      requests.submit(tx, input.waiter, input.job, input.key, input.spec);
      return;
    case 'watch':
      requests.watch(tx, input.waiter, input.job);
      return;
    case 'kill':
      requests.kill(tx, input.waiter, input.job);
      return;
    case 'drain':
      requests.drain(tx, input);
      return;
    case 'keep':
      requests.keep(tx, input.waiter, input.node);
      return;
    case 'move':
      requests.move(tx, input.waiter, input.job, input.thread, input.node);
      return;
    case 'attach':
      requests.attach(tx, input.waiter, input.job);
      return;
    case 'announce':
      requests.announce(tx, input.waiter, input.job, input.member, input.host, input.port);
      return;
    case 'detach':
      requests.detach(tx, input.waiter, input.job, input.member);
      return;
    case 'client-gone':
      requests.clientGone(tx, input.client);
      return;
    case 'inherit':
      inherit(tx, input.legacy);
      return;
    case 'tick':
      onTick(tx);
      return;
  }
}

function setLink(tx: Tx, node: Node, link: 'up' | 'down'): void {
  if (node.link === link) return;
  node.link = link;
  node.downSince = link === 'down' ? tx.now : null;
  if (link === 'up') node.upSince = tx.now;
  tx.publish({ event: 'link', node: node.name, state: link });
  const grace = tx.cluster.settings.graceMs / 1000;
  if (link === 'down')
    tx.log('warn', `lost the connection to node ${node.name}; it is dead if it is not back in ${grace} s`, {
      node: node.name,
    });
  else tx.log('info', `node ${node.name} is back`, { node: node.name });
  for (const job of tx.cluster.jobs.values()) job.touched = true;
}

function onAgent(tx: Tx, name: string, body: AgentBody): void {
  const node = tx.cluster.nodes.get(name);
  if (!node) return;
  if (body.t === 'leave') {
    node.wantsLeave = body.reason;
    if (body.seconds != null) setDeadline(tx, node, body.seconds);
    tx.cluster.unsettled = true;
    tx.log('info', `node ${name} wants to leave: ${body.reason}`, { node: name });
    requestLeave(tx, node);
    return;
  }
  const job = tx.cluster.jobs.get(body.job);
  if (body.t === 'replayed') return;
  if (job?.recovery) {
    job.recovery.held.push({ node: name, body });
    return;
  }
  // A host of a job that was over when its agent came back: nobody will ask about it any more.
  if (!job && body.t === 'host-exited') tx.toAgent(name, { t: 'forget', job: body.job, outcome: null });
  const host = job?.hosts.get(body.member);
  if (!job || !host || host.node !== name) return;
  if (body.t === 'host-exited') {
    const how = body.signal ? `killed by ${body.signal}` : `exit status ${body.code ?? '?'}`;
    onHostExited(tx, job, host, body.detail ? `${how}: ${body.detail}` : how);
  } else {
    onHost(tx, job, host, body.message);
  }
}

function requestLeave(tx: Tx, node: Node): void {
  // settleDrains drains it as soon as that is possible; say so if it is not now.
  const alone = [...tx.cluster.nodes.values()].every(other => other === node || other.state !== 'active');
  const job = [...tx.cluster.jobs.values()].find(one => one.state !== 'ending');
  if (alone && job)
    tx.toAgent(node.name, { t: 'leave-refused', reason: `it is the last node, and job ${job.id} runs on it` });
}

function onHost(tx: Tx, job: Job, host: Host, message: FromHost): void {
  switch (message.t) {
    case 'hello':
      onHello(tx, job, host, message);
      return;
    case 'started':
      onStarted(tx, job, host, message);
      return;
    case 'arrived':
      onArrived(job, host, message);
      return;
    case 'exited':
      onExited(tx, job, host, message);
      return;
    case 'moved':
      onMoved(tx, job, host, message);
      return;
    case 'drained':
      if (host.state === 'handing') advanceHost(host, 'drained', hostName(job, host));
      job.touched = true;
      return;
    case 'fault':
      endJob(tx, job, 'failed', null, faultReason(host.node, message));
      return;
    case 'failed':
      endJob(tx, job, 'failed', null, `on node ${host.node}: ${message.reason}`);
      return;
    case 'unreachable':
      onUnreachable(tx, job, host, message);
      return;
    case 'report':
      onReport(tx, job, host, message);
      return;
    case 'output':
    case 'input-wanted':
    case 'log':
      return;
  }
}

function onTick(tx: Tx): void {
  const { cluster } = tx;
  cluster.unsettled = true;
  const { graceMs, ownerGraceMs, spawnMs } = cluster.settings;
  settleDeadlines(tx);
  settleLegacy(tx);
  for (const node of [...cluster.nodes.values()]) {
    if (node.downSince === null || tx.now - node.downSince < graceMs) continue;
    nodeDead(tx, node, `no connection for ${graceMs / 1000} s`);
    tx.effects.push({ type: 'drop-agent', node: node.name, reason: 'dead' });
  }
  for (const job of [...cluster.jobs.values()]) {
    settleRecovery(tx, job);
    if (job.ownerLostAt !== null && tx.now - job.ownerLostAt >= ownerGraceMs) {
      endJob(tx, job, 'cancelled', null, 'the client that ran it is gone');
    }
    for (const host of [...job.hosts.values()]) {
      if (host.state !== 'spawning' || tx.now - host.since < spawnMs) continue;
      if (host.node === null) hostGone(tx, job, host);
      else if (job.state === 'starting')
        endJob(tx, job, 'failed', null, `the host on node ${host.node} was not ready after ${spawnMs / 1000} s`);
    }
    if (job.balanceAt !== null && job.balanceAt <= tx.now) job.touched = true;
    if (job.viewAt !== null && job.viewAt <= tx.now) job.touched = true;
    measure(tx, job);
    if (job.countsDirty && job.state === 'running') publishCounts(tx, job);
  }
}

function publishCounts(tx: Tx, job: Job): void {
  job.countsDirty = false;
  const nodes: Record<string, number> = {};
  for (const host of job.hosts.values()) {
    if (host.node !== null && host.state !== 'gone') nodes[host.node] = (nodes[host.node] ?? 0) + host.threads.size;
  }
  tx.publish({ event: 'threads', job: job.id, nodes, total: job.threads.size });
}
