import { HOST_WIRE_VERSION, VERSION } from '../constants.js';
import type { FromHost } from '../wire/host-messages.js';
import { noteFeatures } from './destinations.js';
import { endJob, finishIfStopped } from './job-end.js';
import { advanceHost } from './lifecycle.js';
import { abandonMovesTo } from './moves.js';
import { type Host, inView, type Job, type Node } from './state.js';
import type { Tx } from './tx.js';
import { changeView, hostName } from './views.js';

/** Has a node start one more host for a job. */
export function spawnHost(tx: Tx, job: Job, node: Node, lite: boolean): Host {
  const host: Host = {
    member: job.nextMember++,
    node: node.name,
    client: null,
    lite,
    state: 'spawning',
    since: tx.now,
    address: node.info.address,
    port: 0,
    cores: node.info.cores,
    pool: node.info.memory,
    hostname: node.info.hostname,
    threads: new Set(),
    leaving: 0,
    coming: 0,
  };
  job.hosts.set(host.member, host);
  const { id, key, spec, nextMember, startedAt } = job;
  tx.toAgent(node.name, { t: 'spawn', job: id, member: host.member, nextMember, startedAt, lite, key, spec });
  return host;
}

/** A host is up. Hosts of one job must be the same build: a moved thread returns into the host's own code. */
export function onHello(tx: Tx, job: Job, host: Host, message: Extract<FromHost, { t: 'hello' }>): void {
  if (host.state !== 'spawning') return;
  const wrong =
    message.wire !== HOST_WIRE_VERSION || message.version !== VERSION
      ? `its dmi-host is version ${message.version} (wire ${message.wire}), this cluster's is ${VERSION} (wire ${HOST_WIRE_VERSION})`
      : job.build !== null && job.build !== message.build
        ? `its dmi-host is another build (${message.build.slice(0, 12)}) than the job's (${job.build.slice(0, 12)})`
        : null;
  if (wrong) {
    unusable(tx, job, host, `node ${host.node} cannot host job ${job.id}: ${wrong}; install the same build everywhere`);
    return;
  }
  job.build = message.build;
  noteFeatures(job, host, message.features);
  host.port = message.port;
  host.since = tx.now;
  advanceHost(host, 'ready', hostName(job, host));
  job.touched = true;
}

/** The host cannot be used: fails a job that is starting; a running one goes on without that node. */
function unusable(tx: Tx, job: Job, host: Host, reason: string): void {
  tx.log('error', reason, { job: job.id, node: host.node });
  if (job.state === 'starting') {
    endJob(tx, job, 'failed', null, reason);
    return;
  }
  if (host.node !== null && !host.lite) job.excluded.set(host.node, reason);
  stopHost(tx, job, host, reason);
  job.touched = true;
}

/** Tells a host to end. It stays `stopping` until its agent says that the process is gone. */
export function stopHost(tx: Tx, job: Job, host: Host, reason: string): void {
  if (host.state === 'stopping' || host.state === 'gone') return;
  abandonMovesTo(tx, job, host);
  advanceHost(host, 'stopping', hostName(job, host));
  host.since = tx.now;
  if (host.node === null) hostGone(tx, job, host);
  else tx.toHost(job, host, { t: 'stop', reason });
}

/** The process is no more: as it was told to, or by accident. */
export function onHostExited(tx: Tx, job: Job, host: Host, how: string): void {
  const { state } = host;
  if (state !== 'stopping' && job.state !== 'ending') {
    const what = `the host of job ${job.id} on node ${host.node} ${state === 'spawning' ? 'did not start' : 'ended unexpectedly'}: ${how}`;
    const harmless = (state === 'spawning' || state === 'ready') && job.state === 'running';
    if (harmless) {
      tx.log('error', what, { job: job.id, node: host.node });
      if (host.node !== null && !host.lite) job.excluded.set(host.node, what);
    } else {
      endJob(tx, job, 'failed', null, what);
    }
  }
  hostGone(tx, job, host);
}

/** Forgets a host whose process does not exist any more. */
export function hostGone(tx: Tx, job: Job, host: Host): void {
  if (host.state === 'gone') return;
  abandonMovesTo(tx, job, host);
  const seen = inView(host);
  advanceHost(host, 'gone', hostName(job, host));
  job.hosts.delete(host.member);
  tx.cluster.unsettled = true;
  for (const thread of host.threads) job.threads.delete(thread);
  job.touched = true;
  if (seen && job.state === 'running') changeView(tx, job, [], [], [host]);
  finishIfStopped(tx, job);
}
