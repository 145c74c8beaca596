import { SHARDS } from '../constants.js';
import { applyRanges, noHomes } from '../plan/shards.js';
import { knownViews, missedViews } from '../recovery/view-history.js';
import type { HostReport, JobOutcome } from '../wire/agent-messages.js';
import type { ViewChange } from '../wire/host-messages.js';
import { noteFeatures } from './destinations.js';
import { firstCount, firstThreads } from './first-threads.js';
import { endJob, finishIfStopped, keepOutcome, publishJob } from './job-end.js';
import { arrived, noteDrain, noteJob, settleExpected } from './legacy.js';
import { advanceJob, advanceNode, type HostState, NODE_LEAVING } from './lifecycle.js';
import { type Host, type Job, mainHost, type Node, newJob, type Recovery } from './state.js';
import { addThread, exitStatus, relocate } from './threads.js';
import type { Tx } from './tx.js';
import { changeView } from './views.js';

// A job that an earlier coordinator started is rebuilt from what the agents report of its hosts. Nothing is decided before
// every member of the newest view has been reported: until then what hosts say is put aside.

/** Member and move ids that the earlier coordinator may have given out unseen. */
const UNSEEN = 1024;

/** Where this coordinator's member ids begin: apart from those that another one gave out to agents that are still away. */
function freshMember(known: number, now: number): number {
  return known + UNSEEN * (1 + (Math.floor(now) % 1009));
}

/** An agent has joined with hosts that this coordinator did not start. */
export function adoptHosts(tx: Tx, node: Node, reports: readonly HostReport[], outcomes: readonly JobOutcome[]): void {
  for (const outcome of outcomes) {
    const job = tx.cluster.jobs.get(outcome.job);
    if (job?.recovery) rebuild(tx, job, viewsOf(job.recovery), outcome);
    else if (tx.cluster.expected.has(outcome.job)) settleExpected(tx, outcome.job, outcome);
    else if (!job) keepOutcome(tx, outcome);
  }
  for (const report of reports) {
    let job = tx.cluster.jobs.get(report.job);
    if (!job && !tx.cluster.history.some(({ job: over }) => over === report.job)) {
      job = newJob(report.job, report.spec, report.key, null, tx.now);
      job.state = 'recovering';
      job.startedAt = Math.min(report.startedAt, tx.now);
      job.recovery = { since: tx.now, reports: new Map(), held: [], watchers: arrived(tx, report.job) };
      tx.cluster.jobs.set(job.id, job);
      noteJob(tx, job);
      tx.log('warn', `job ${job.id} was started by an earlier coordinator; it is rebuilt from its nodes`, {
        job: job.id,
      });
      publishJob(tx, job, 'recovering');
    }
    if (job?.recovery) job.recovery.reports.set(report.member, { node: node.name, report });
    else if (job && mayEnter(job, node, report)) addHost(tx, job, node.name, report, null);
    else refuse(tx, node, report);
  }
  for (const job of [...tx.cluster.jobs.values()]) if (job.recovery) settleRecovery(tx, job);
}

/** A host that had not entered the view when its agent lost the coordinator can still do so. */
function mayEnter(job: Job, node: Node, report: HostReport): boolean {
  return (
    (job.state === 'starting' || job.state === 'running') &&
    report.views.length === 0 &&
    report.stop === null &&
    report.end === null &&
    !job.hosts.has(report.member) &&
    mainHost(job, node.name) === undefined
  );
}

function refuse(tx: Tx, node: Node, { job, member, end }: HostReport): void {
  if (end !== null) {
    if (!tx.cluster.jobs.has(job)) tx.toAgent(node.name, { t: 'forget', job, outcome: null });
    return;
  }
  const reason = 'the job went on, or ended, without this host while its agent was away';
  tx.toAgent(node.name, { t: 'disown', job, member, reason });
  tx.log('warn', `stopping member ${member} of job ${job} on node ${node.name}: ${reason}`);
}

/** Nodes with members of the newest view that has been reported, which have not come back. */
function awaited({ reports }: Recovery, newest: ViewChange | undefined): string[] {
  const absent = newest?.members.filter(({ id, node }) => node !== '' && !reports.has(id)) ?? [];
  return [...new Set(absent.map(({ node }) => node))];
}

/** Rebuilds the job if everything is known, or if there has been time enough. */
export function settleRecovery(tx: Tx, job: Job): void {
  const { recovery } = job;
  if (!recovery) return;
  const known = viewsOf(recovery);
  const newest = known.at(-1);
  const absent = awaited(recovery, newest);
  const grace = tx.cluster.settings.graceMs;
  const late = tx.now - recovery.since >= grace;
  // Without any view, a node that has one may still come: starting threads now could start them twice.
  if (!late && (newest === undefined || absent.length > 0)) return;
  const reason = `node ${absent.join(', ')} did not come back within ${grace / 1000} s of the coordinator's restart`;
  rebuild(tx, job, known, absent.length > 0 ? { state: 'failed', status: null, reason } : null);
}

/** Ends the wait for agents that are still away, because a client wants the job ended. */
export function abandonRecovery(tx: Tx, job: Job, reason: string): void {
  if (job.recovery) rebuild(tx, job, viewsOf(job.recovery), { state: 'cancelled', status: null, reason });
}

function viewsOf({ reports }: Recovery): ViewChange[] {
  const all = [...reports.values()].map(({ report }) => report);
  const whole = knownViews(all.map(({ views }) => views)).at(-1);
  return knownViews(all.filter(report => !isStray(report, whole)).map(({ views }) => views));
}

/** The job has gone on without this host before: what it was told has never come to be. */
function isStray(report: HostReport, newest: ViewChange | undefined): boolean {
  const shown = newest?.members.some(({ id }) => id === report.member) ?? true;
  return report.disowned || (!shown && report.views.length > 0 && report.stop === null && report.end === null);
}

type End = Pick<JobOutcome, 'state' | 'status' | 'reason'>;

/** @param end how the job ended or must end, if that is known; null: it goes on if it can */
function rebuild(tx: Tx, job: Job, known: readonly ViewChange[], end: End | null): void {
  const recovery = job.recovery as Recovery;
  job.recovery = null;
  const newest = known.at(-1);
  const reports = [...recovery.reports.values()].sort((a, b) => a.report.member - b.report.member);
  job.epoch = newest?.epoch ?? 0;
  job.skipEpochs = newest ? UNSEEN : 0;
  job.homes = applyRanges(noHomes(SHARDS), newest?.shards ?? []);
  let given = 0;
  for (const { report } of reports) given = Math.max(given, report.nextMember, report.member + 1);
  for (const { id } of newest?.members ?? []) given = Math.max(given, id + 1);
  job.nextMember = freshMember(given, tx.now);
  job.ownerLostAt = tx.now + Math.max(0, tx.cluster.settings.graceMs - tx.cluster.settings.ownerGraceMs);

  for (const { node, report } of reports) {
    job.build ??= report.hello ? report.build : null;
    const member = newest?.members.find(({ id }) => id === report.member);
    const owner = tx.cluster.nodes.get(node);
    if (owner && report.end === null && report.stop === null && isStray(report, newest)) {
      refuse(tx, owner, report);
      report.stop = 'it is no part of the job';
      report.disowned = true;
    }
    if (report.end === null || member) addHost(tx, job, node, report, member?.state ?? null);
  }
  for (const info of newest?.members ?? []) if (!job.hosts.has(info.id)) job.hosts.set(info.id, vanished(tx, info));
  recoverThreads(
    job,
    reports.map(({ report }) => report),
  );
  recoverKept(tx, job);
  recoverMoves(
    tx,
    job,
    reports.map(({ report }) => report),
  );
  recoverFirst(job, reports, known[0]);
  tx.log('info', `job ${job.id} is known again: epoch ${job.epoch}, ${job.threads.size} threads`, { job: job.id });
  for (const waiter of recovery.watchers) tx.watched(waiter, job);

  const reason = failure(reports, newest) ?? (unstarted(reports, known[0]) ? UNSTARTED : null);
  if (end !== null) endJob(tx, job, end.state, end.status, end.reason);
  else if (job.statuses.size === firstCount(job)) endJob(tx, job, 'done', exitStatus(job), null);
  else if (reason !== null || (newest !== undefined && job.hosts.size === 0))
    endJob(tx, job, 'failed', null, reason ?? 'all its hosts are gone');
  else if (newest === undefined) advanceJob(job, 'starting', job.id);
  else resume(tx, job, reports, known, newest);
  for (const { report } of reports) {
    const host = job.hosts.get(report.member);
    if (report.end !== null && host) forgetHost(tx, job, host);
  }
  for (const host of [...job.hosts.values()]) if (host.node === null) forgetHost(tx, job, host);
  finishIfStopped(tx, job);
  tx.deferred.push(...recovery.held);
  job.touched = true;
}

function addHost(tx: Tx, job: Job, node: string, report: HostReport, inView: string | null): Host {
  const info = tx.cluster.nodes.get(node)?.info;
  const host: Host = {
    member: report.member,
    node,
    client: null,
    lite: report.lite,
    state: stateOf(report, inView),
    since: tx.now,
    address: info?.address ?? '',
    port: report.port,
    cores: info?.cores ?? 1,
    pool: info?.memory ?? 0,
    hostname: info?.hostname ?? '',
    threads: new Set(),
    leaving: 0,
    coming: 0,
  };
  job.hosts.set(host.member, host);
  if (report.hello) noteFeatures(job, host, report.features);
  job.nextMember = Math.max(job.nextMember, report.nextMember, report.member + 1);
  job.touched = true;
  return host;
}

function stateOf(report: HostReport, inView: string | null): HostState {
  if (report.end !== null || report.stop !== null) return 'stopping';
  if (inView === null) return report.hello ? 'ready' : 'spawning';
  if (inView !== 'draining') return 'active';
  return report.drained ? 'drained' : report.drain ? 'handing' : 'draining';
}

/** A member that no agent speaks for: a client that had attached, or a host whose node did not come back. */
function vanished(tx: Tx, info: ViewChange['members'][number]): Host {
  return {
    member: info.id,
    node: null,
    client: null,
    lite: true,
    state: 'stopping',
    since: tx.now,
    address: info.host,
    port: info.port,
    cores: 0,
    pool: 0,
    hostname: info.hostname,
    threads: new Set(),
    leaving: 0,
    coming: 0,
  };
}

/** A thread on its way may be claimed by both sides, then the later move counts; or by none, then its `arrived` follows. */
function recoverThreads(job: Job, reports: readonly HostReport[]): void {
  for (const { ended } of reports) for (const thread of ended) job.ended.add(thread);
  for (const { member, threads } of reports) {
    const host = job.hosts.get(member);
    for (const { thread, movable, moves } of threads) {
      if (job.ended.has(thread) || !host) continue;
      const known = job.threads.get(thread) ?? addThread(job, thread, host, movable, moves);
      known.recovered = true;
      relocate(job, known, host, moves);
      known.told = known.moves + 1;
    }
  }
}

/** Threads that stay where `dmi move` has put them. */
function recoverKept(tx: Tx, job: Job): void {
  for (const id of tx.cluster.kept.get(job.id) ?? []) {
    job.recorded.add(id);
    const thread = job.threads.get(id);
    if (!thread) continue;
    thread.kept = true;
    job.held.add(id);
  }
  tx.cluster.kept.delete(job.id);
}

function recoverMoves(tx: Tx, job: Job, reports: readonly HostReport[]): void {
  for (const { member, moves, stop } of reports) {
    const from = job.hosts.get(member);
    if (!from || stop !== null) continue;
    for (const { move: id, thread, to, cause } of moves) {
      job.moves.set(id, {
        id,
        state: 'asked',
        thread,
        from: member,
        to,
        cause,
        collision: false,
        startedAt: tx.now,
        waiter: null,
      });
      const known = job.threads.get(thread);
      if (known) known.move = id;
      from.leaving++;
      const target = job.hosts.get(to);
      if (target) target.coming++;
      job.nextMove = Math.max(job.nextMove, Number(id.slice(1)) + 1);
    }
  }
  job.nextMove += UNSEEN;
}

function recoverFirst(
  job: Job,
  reports: readonly { node: string; report: HostReport }[],
  oldest: ViewChange | undefined,
): void {
  if (oldest?.epoch === 1) for (const { member, thread } of startsOf(job, oldest)) job.first.add(`${member}.${thread}`);
  for (const { node, report } of reports) {
    for (const { thread } of report.starts) job.first.add(`${report.member}.${thread}`);
    for (const { thread, status } of report.exited) {
      job.first.add(thread);
      job.statuses.set(thread, status);
      if (report.ended.includes(thread)) job.statusNode.set(thread, node);
    }
  }
}

function startsOf(job: Job, first: ViewChange) {
  const hosts = first.members.map(({ id, cores }) => ({ member: id, cores })).sort((a, b) => a.member - b.member);
  return firstThreads(job.spec, hosts);
}

/** Hosts of the first view have none, and others already have a later one: nothing has been started. */
const UNSTARTED = 'the coordinator was restarted while the job was starting';

function unstarted(reports: readonly { report: HostReport }[], oldest: ViewChange | undefined): boolean {
  if (!oldest || oldest.epoch === 1) return false;
  return reports.some(
    ({ report }) => report.views.length === 0 && oldest.members.some(({ id }) => id === report.member),
  );
}

/** Why the job cannot go on: a host of it died, or the earlier coordinator was ending it. */
function failure(
  reports: readonly { node: string; report: HostReport }[],
  newest: ViewChange | undefined,
): string | null {
  for (const { node, report } of reports) {
    const member = newest?.members.find(({ id }) => id === report.member);
    if ((newest !== undefined && !member) || report.disowned || report.stop === NODE_LEAVING) continue;
    if (report.end !== null && report.stop === null) {
      const how = report.end.signal ? `killed by ${report.end.signal}` : `exit status ${report.end.code ?? '?'}`;
      return `its host on node ${node} ended while there was no coordinator: ${how}`;
    }
    if (report.stop !== null && !report.drained && !(report.lite && report.threads.length === 0)) return report.stop;
  }
  return null;
}

/** Everything is known: hosts get what they have missed, and the job goes on. */
function resume(
  tx: Tx,
  job: Job,
  reports: readonly { node: string; report: HostReport }[],
  known: readonly ViewChange[],
  newest: ViewChange,
): void {
  advanceJob(job, 'running', job.id);
  publishJob(tx, job, 'running');
  const first = known[0]?.epoch === 1 ? startsOf(job, known[0]) : [];
  for (const { node, report } of reports) {
    const host = job.hosts.get(report.member);
    if (!host || host.state === 'stopping' || !newest.members.some(({ id }) => id === report.member)) continue;
    const has = report.views.at(-1)?.epoch ?? 0;
    const missed = missedViews(known, report.member, has);
    if (missed === null) {
      endJob(tx, job, 'failed', null, `node ${node} has missed too many changes to be brought up to date`);
      return;
    }
    const started = new Set(report.starts.map(({ thread }) => thread));
    const unstarted = has > 1 ? [] : first.filter(one => one.member === report.member && !started.has(one.thread));
    const start = () => {
      for (const { rank, thread } of unstarted.splice(0)) {
        const { kind, n } = job.spec;
        const count = kind === 'main' ? 1 : n;
        tx.toHost(job, host, { t: 'start', role: 'main', rank, count, threads: n, thread });
      }
    };
    if (has === 1) start();
    for (const change of missed) {
      tx.toHost(job, host, change);
      if (change.epoch === 1) start();
    }
    const owner = tx.cluster.nodes.get(node);
    if (owner?.state === 'active' && host.state !== 'active') {
      advanceNode(owner, 'draining', owner.name);
      owner.drainStartedAt = tx.now;
      noteDrain(tx, owner);
      tx.publish({ event: 'drain-started', node, threads: host.threads.size });
    }
  }
  const shown = new Set(newest.members.map(({ id }) => id));
  const leaving = [...job.hosts.values()].filter(host => host.state === 'stopping' && shown.has(host.member));
  if (leaving.length > 0) changeView(tx, job, [], [], leaving);
  job.balanceAt = tx.now + tx.cluster.settings.settleMs;
}

function forgetHost(tx: Tx, job: Job, host: Host): void {
  job.hosts.delete(host.member);
  for (const thread of host.threads) job.threads.delete(thread);
  host.state = 'gone';
  tx.cluster.unsettled = true;
}
