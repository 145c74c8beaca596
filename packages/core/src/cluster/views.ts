import { assignShards, shardRanges } from '../plan/shards.js';
import type { ViewChange } from '../wire/host-messages.js';
import { advanceHost } from './lifecycle.js';
import { type Host, inView, type Job, memberInfo } from './state.js';
import type { Tx } from './tx.js';

/**
 * Makes the next view of a job and tells its members: the whole view to those that enter, the difference to the others.
 * Shards move only off members that leave or drain, and to new ones up to their share.
 *
 * @param entering hosts that are `ready`; they become `active`
 * @param changed hosts whose state has just become `draining`
 * @param leaving hosts that are in the view no more; they are told nothing
 */
export function changeView(
  tx: Tx,
  job: Job,
  entering: readonly Host[],
  changed: readonly Host[],
  leaving: readonly Host[],
): void {
  for (const host of entering) advanceHost(host, 'active', hostName(job, host));
  const gone = new Set(leaving);
  const homing: number[] = [];
  for (const host of job.hosts.values()) {
    if (host.state === 'active' && !host.lite && !gone.has(host)) homing.push(host.member);
  }
  const before = job.homes;
  if (homing.length > 0) job.homes = assignShards(before, homing);
  const gap = job.skipEpochs > 0; // a change builds on the epoch before it: after a gap all get the whole view
  job.epoch += 1 + job.skipEpochs;
  job.skipEpochs = 0;
  const delta: ViewChange = {
    t: 'view',
    epoch: job.epoch,
    full: false,
    members: [...entering, ...changed].map(memberInfo),
    gone: leaving.map(host => host.member),
    shards: shardRanges(before, job.homes),
  };
  const full = entering.length > 0 || gap ? wholeView(job, gone) : delta;
  const fresh = new Set(entering);
  for (const host of job.hosts.values()) {
    if (inView(host) && !gone.has(host)) tx.toHost(job, host, gap || fresh.has(host) ? full : delta);
  }
  for (const host of [...entering, ...changed, ...leaving]) {
    const state = gone.has(host) ? 'gone' : host.state;
    tx.publish({
      event: 'member',
      job: job.id,
      member: host.member,
      node: host.node,
      state,
      lite: host.lite,
      epoch: job.epoch,
    });
  }
}

/** The job's present view, whole. */
export function wholeView(job: Job, except: ReadonlySet<Host> = new Set()): ViewChange {
  const members = [...job.hosts.values()].filter(host => inView(host) && !except.has(host));
  return {
    t: 'view',
    epoch: job.epoch,
    full: true,
    members: members.map(memberInfo),
    gone: [],
    shards: shardRanges(null, job.homes),
  };
}

export function hostName(job: Job, host: Host): string {
  return `${job.id}/${host.member}`;
}
