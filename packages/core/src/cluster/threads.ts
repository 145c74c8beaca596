import type { FromHost } from '../wire/host-messages.js';
import { endJob } from './job-end.js';
import type { Host, Job, Thread } from './state.js';
import type { Tx } from './tx.js';

type Message<T extends FromHost['t']> = Extract<FromHost, { t: T }>;

function addThread(job: Job, id: string, host: Host, movable: boolean): Thread {
  const thread: Thread = {
    id,
    member: host.member,
    movable,
    move: null,
    moves: 0,
    pinned: null,
    retryAt: 0,
    attempts: 0,
    kept: false,
    avoid: new Map(),
  };
  job.threads.set(id, thread);
  host.threads.add(id);
  if (!movable) job.held.add(id);
  return thread;
}

/** A thread exists on this host. News of one thread may come from several hosts and in any order between them. */
export function onStarted(tx: Tx, job: Job, host: Host, message: Message<'started'>): void {
  if (job.early.delete(message.thread)) return;
  const known = job.threads.get(message.thread);
  if (known) {
    known.movable = message.movable;
    if (!known.movable) job.held.add(known.id);
    return;
  }
  addThread(job, message.thread, host, message.movable);
  threadsChanged(tx, job, host);
}

/** A thread runs on this host now. Its source's `moved` comes too, before or after. */
export function onArrived(job: Job, host: Host, message: Message<'arrived'>): void {
  const thread = job.threads.get(message.thread);
  if (thread) relocate(job, thread, host);
  else if (!job.statuses.has(message.thread)) addThread(job, message.thread, host, true);
  job.countsDirty = true;
  if (host.lite || host.state !== 'active') job.touched = true;
}

export function onExited(tx: Tx, job: Job, host: Host, message: Message<'exited'>): void {
  const thread = job.threads.get(message.thread);
  if (thread) {
    job.hosts.get(thread.member)?.threads.delete(thread.id);
    job.threads.delete(thread.id);
  } else if (!job.first.has(message.thread) || !job.statuses.has(message.thread)) {
    job.early.add(message.thread);
  }
  threadsChanged(tx, job, host);
  if (!job.first.has(message.thread)) return;
  job.statuses.set(message.thread, message.status);
  if (job.statuses.size === job.first.size) endJob(tx, job, 'done', exitStatus(job), null);
}

/** The main thread's status, or of N the first that is not 0, in the order of their numbers. */
function exitStatus(job: Job): number {
  for (const id of job.first) {
    const status = job.statuses.get(id) ?? 0;
    if (status !== 0) return status;
  }
  return 0;
}

export function relocate(job: Job, thread: Thread, to: Host): void {
  if (thread.member === to.member) return;
  job.hosts.get(thread.member)?.threads.delete(thread.id);
  thread.member = to.member;
  to.threads.add(thread.id);
  thread.moves++;
  thread.attempts = 0;
  thread.pinned = null;
}

/** Threads came or went by themselves: even them out once it has been quiet for a while; at once where a node drains. */
export function threadsChanged(tx: Tx, job: Job, host: Host): void {
  job.countsDirty = true;
  const due = tx.now + tx.cluster.settings.settleMs;
  if (job.balanceAt === null || job.balanceAt < due) job.balanceAt = due;
  if (host.lite || host.state !== 'active') job.touched = true;
}

/** One sentence on a guest's crash. */
export function faultReason(node: string | null, message: Message<'fault'>): string {
  const where = message.symbol ? ` in ${message.symbol}` : '';
  const address = message.address ? ` at address ${message.address}` : '';
  const pc = message.pc ? ` (pc ${message.pc})` : '';
  const who = message.thread === null ? 'a thread' : `thread ${message.thread}`;
  const summary = `${who} got ${message.signal}${address}${where}${pc} on node ${node ?? '?'}`;
  return message.text && !message.text.includes(message.signal)
    ? `${summary}: ${message.text}`
    : message.text || summary;
}
