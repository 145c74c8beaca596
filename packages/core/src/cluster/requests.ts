import { DmiError } from '../errors.js';
import { resolvePrefix } from '../ids.js';
import { keptKey } from '../store/records.js';
import type { JobSpec } from '../wire/job-spec.js';
import { checkDeadline, setDeadline } from './deadline.js';
import { whyNotThere } from './destinations.js';
import type { ClusterInput } from './events.js';
import { hostGone, spawnHost } from './hosts.js';
import { endJob, publishJob } from './job-end.js';
import { giveUp, noteJob } from './legacy.js';
import { advanceHost } from './lifecycle.js';
import { startMove } from './moves.js';
import { cancelDrain, drainNode } from './nodes.js';
import { abandonRecovery } from './recover.js';
import { type Host, type Job, mainHost, newJob, type Waiter } from './state.js';
import type { Tx } from './tx.js';
import { hostName, wholeView } from './views.js';

// What clients ask for. Every request gets one reply or refusal, at once or when it is done.

export function submit(tx: Tx, waiter: Waiter, id: string, key: Uint8Array, spec: JobSpec): void {
  const nodes = [...tx.cluster.nodes.values()].filter(node => node.state === 'active' && node.link === 'up');
  if (nodes.length === 0) {
    tx.refuse(
      waiter,
      'no-agents',
      'the cluster has no nodes to run on',
      'start one: dmi agent --join ws://…, or run without a cluster: dmi run --local 2 …',
    );
    return;
  }
  const job = newJob(id, spec, key, waiter.client, tx.now);
  tx.cluster.jobs.set(id, job);
  noteJob(tx, job);
  for (const node of nodes) spawnHost(tx, job, node, false);
  tx.reply(waiter, { job: id });
  publishJob(tx, job, 'starting');
  tx.log('info', `job ${id}: ${spec.name} (${spec.kind}, n ${spec.n}) on ${nodes.length} nodes`, { job: id });
}

/** A client (again) gets the job's output and keeps it alive. */
export function watch(tx: Tx, waiter: Waiter, wanted: string): void {
  const over = tx.cluster.history.find(({ job }) => job === wanted);
  if (over) {
    const { job, state, status, reason, seconds } = over;
    tx.reply(waiter, { job, state, outcome: { job, state, status, reason, seconds } });
    return;
  }
  const expected = tx.cluster.expected.get(wanted);
  if (expected) {
    expected.watchers.push(waiter);
    return;
  }
  const job = findJob(tx, wanted);
  if (job.recovery) job.recovery.watchers.push(waiter);
  else tx.watched(waiter, job);
}

export function kill(tx: Tx, waiter: Waiter, wanted: string): void {
  const expected = tx.cluster.expected.get(wanted);
  if (expected) {
    // Hosts of it that come back with their nodes are stopped.
    giveUp(tx, expected, 'cancelled', 'it was cancelled');
    tx.reply(waiter, { job: wanted, state: 'cancelled', status: null, reason: 'it was cancelled' });
    return;
  }
  const job = findJob(tx, wanted);
  job.waiters.push(waiter);
  abandonRecovery(tx, job, 'it was cancelled');
  endJob(tx, job, 'cancelled', null, 'it was cancelled');
}

export function drain(tx: Tx, request: Extract<ClusterInput, { type: 'drain' }>): void {
  const { waiter, node: wanted, deadline, partial, sizes } = request;
  const name = resolvePrefix('node', wanted, tx.cluster.nodes.keys());
  const node = tx.cluster.nodes.get(name);
  if (!node) return;
  if (deadline !== null) checkDeadline(tx, node, deadline, sizes, partial);
  drainNode(tx, node, waiter);
  // Refused for another reason: then it has no deadline either.
  if (deadline !== null && node.state === 'draining') setDeadline(tx, node, deadline);
}

/** Takes a drain back. */
export function keep(tx: Tx, waiter: Waiter, wanted: string): void {
  const name = resolvePrefix('node', wanted, tx.cluster.nodes.keys());
  const node = tx.cluster.nodes.get(name);
  if (!node) return;
  cancelDrain(tx, node);
  tx.reply(waiter, { node: name });
}

export function move(tx: Tx, waiter: Waiter, wantedJob: string | null, wantedThread: string, wantedNode: string): void {
  const node = resolvePrefix('node', wantedNode, tx.cluster.nodes.keys());
  const job = wantedJob === null ? jobOfThread(tx, wantedThread) : findJob(tx, wantedJob);
  const thread = job.threads.get(resolvePrefix('thread', wantedThread, job.threads.keys()));
  const to = mainHost(job, node);
  if (!thread) return;
  if (to?.state !== 'active')
    throw new DmiError('refused', `node ${node} takes no threads of job ${job.id} now`, { hint: 'see: dmi nodes' });
  if (thread.move !== null)
    throw new DmiError('busy', `thread ${thread.id} is being moved already`, { hint: 'try again' });
  const why = whyNotThere(job, thread, node, tx.now);
  if (why !== null)
    throw new DmiError('refused', `thread ${thread.id} cannot move to node ${node}: ${why}`, { object: thread.id });
  thread.kept = true;
  job.held.add(thread.id);
  job.recorded.add(thread.id);
  tx.record(keptKey(job.id, thread.id), true);
  if (thread.member === to.member) {
    tx.reply(waiter, { thread: thread.id, from: node, to: node, bytes: 0, seconds: 0, pauseSeconds: 0 });
  } else {
    startMove(tx, job, thread, to, 'user', { waiter });
  }
}

/** The job that has a thread of this name, if it is only one. */
export function jobOfThread(tx: Pick<Tx, 'cluster'>, wanted: string): Job {
  const jobs = [...tx.cluster.jobs.values()].filter(job => job.threads.has(wanted));
  const [job] = jobs;
  if (job && jobs.length === 1) return job;
  if (jobs.length > 1) {
    throw new DmiError('ambiguous', `several jobs have a thread ${wanted}: ${jobs.map(one => one.id).join(', ')}`, {
      hint: 'add --job JOB',
    });
  }
  throw new DmiError('not-found', `there is no thread "${wanted}"`, { object: wanted, hint: 'see: dmi ps' });
}

/** A TypeScript program becomes a member: it gets its id and the present view, and enters the view when it announces its port. */
export function attach(tx: Tx, waiter: Waiter, wanted: string): void {
  const job = findJob(tx, wanted);
  if (job.state !== 'running')
    throw new DmiError('busy', `job ${job.id} is ${job.state}`, { hint: 'attach while it runs' });
  const host: Host = {
    member: job.nextMember++,
    node: null,
    client: waiter.client,
    lite: true,
    state: 'spawning',
    since: tx.now,
    address: '',
    port: 0,
    cores: 0,
    pool: 0,
    hostname: '',
    threads: new Set(),
    leaving: 0,
    coming: 0,
  };
  job.hosts.set(host.member, host);
  tx.reply(waiter, { job: job.id, key: job.key, member: host.member, build: job.build ?? '', view: wholeView(job) });
}

export function announce(tx: Tx, waiter: Waiter, id: string, member: number, address: string, port: number): void {
  const job = findJob(tx, id);
  const host = attached(job, waiter.client, member);
  if (host.state !== 'spawning') throw new DmiError('refused', `member ${member} has announced itself before`);
  host.address = address;
  host.port = port;
  host.hostname = address;
  advanceHost(host, 'ready', hostName(job, host));
  job.touched = true;
  tx.reply(waiter, { job: job.id, member });
}

export function detach(tx: Tx, waiter: Waiter, id: string, member: number): void {
  const job = findJob(tx, id);
  hostGone(tx, job, attached(job, waiter.client, member));
  tx.reply(waiter, { job: job.id, member });
}

function attached(job: Job, client: string, member: number): Host {
  const host = job.hosts.get(member);
  if (!host || host.client !== client)
    throw new DmiError('not-found', `member ${member} of job ${job.id} is not yours`);
  return host;
}

/** Its jobs are cancelled unless another client takes them over soon; its members are gone; nobody waits for it. */
export function clientGone(tx: Tx, client: string): void {
  for (const job of [...tx.cluster.jobs.values()]) {
    if (job.owner === client) job.ownerLostAt = tx.now;
    job.waiters = job.waiters.filter(waiter => waiter.client !== client);
    if (job.recovery) job.recovery.watchers = job.recovery.watchers.filter(waiter => waiter.client !== client);
    for (const move of job.moves.values()) if (move.waiter?.client === client) move.waiter = null;
    for (const host of [...job.hosts.values()]) if (host.client === client) hostGone(tx, job, host);
  }
  for (const expected of tx.cluster.expected.values())
    expected.watchers = expected.watchers.filter(waiter => waiter.client !== client);
  for (const node of tx.cluster.nodes.values()) node.waiters = node.waiters.filter(waiter => waiter.client !== client);
}

function findJob(tx: Tx, wanted: string): Job {
  const job = tx.cluster.jobs.get(resolvePrefix('job', wanted, tx.cluster.jobs.keys()));
  if (!job) throw new DmiError('not-found', `there is no job "${wanted}"`, { object: wanted, hint: 'see: dmi jobs' });
  return job;
}
