import type { FromHost } from '../wire/host-messages.js';
import { firstCount } from './first-threads.js';
import { endJob } from './job-end.js';
import type { Host, Job, Thread } from './state.js';
import type { Tx } from './tx.js';

type Message<T extends FromHost['t']> = Extract<FromHost, { t: T }>;

export function addThread(job: Job, id: string, host: Host, movable: boolean, moves: number): Thread {
  const thread: Thread = {
    id,
    member: host.member,
    movable,
    move: null,
    moves,
    told: 1,
    recovered: false,
    pinned: null,
    retryAt: 0,
    attempts: 0,
    kept: false,
    movedAt: Number.NEGATIVE_INFINITY,
    avoid: new Map(),
  };
  job.threads.set(id, thread);
  host.threads.add(id);
  if (!movable) job.held.add(id);
  return thread;
}

/** News of a thread that has exited: true, and one message less to wait for. */
function isLate(job: Job, thread: string): boolean {
  if (job.ended.has(thread)) return true;
  const outstanding = job.late.get(thread);
  if (outstanding === undefined) return false;
  if (outstanding > 1) job.late.set(thread, outstanding - 1);
  else job.late.delete(thread);
  return true;
}

/** A thread exists on this host. News of one thread may come from several hosts and in any order between them. */
export function onStarted(tx: Tx, job: Job, host: Host, message: Message<'started'>): void {
  if (isLate(job, message.thread)) return;
  const known = job.threads.get(message.thread);
  if (known) {
    known.told++;
    known.movable = message.movable;
    if (!known.movable) job.held.add(known.id);
    return;
  }
  addThread(job, message.thread, host, message.movable, 0);
  threadsChanged(tx, job, host);
}

/** A thread has come to this host. Its source's `moved` comes too, before or after; it may have moved on since. */
export function onArrived(job: Job, host: Host, message: Message<'arrived'>): void {
  if (isLate(job, message.thread)) return;
  const thread = job.threads.get(message.thread);
  if (thread) {
    thread.told++;
    relocate(job, thread, host, message.moves);
  } else {
    addThread(job, message.thread, host, true, message.moves);
  }
  job.countsDirty = true;
  if (host.lite || host.state !== 'active') job.touched = true;
}

export function onExited(tx: Tx, job: Job, host: Host, message: Message<'exited'>): void {
  const thread = job.threads.get(message.thread);
  if (thread) {
    job.hosts.get(thread.member)?.threads.delete(thread.id);
    job.threads.delete(thread.id);
    job.loads.threads.delete(thread.id);
  }
  const outstanding = message.moves + 1 - (thread?.told ?? 0);
  if (outstanding > 0) job.late.set(message.thread, outstanding);
  threadsChanged(tx, job, host);
  if (thread?.recovered) job.ended.add(thread.id);
  if (!message.main) return;
  job.first.add(message.thread);
  job.statuses.set(message.thread, message.status);
  if (host.node !== null) job.statusNode.set(message.thread, host.node);
  if (job.statuses.size === firstCount(job)) endJob(tx, job, 'done', exitStatus(job), null);
}

/** The main thread's status, or of N the first that is not 0, in the order of their numbers. */
export function exitStatus(job: Job): number {
  const failed = [...job.statuses].filter(([, status]) => status !== 0);
  failed.sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }));
  return failed[0]?.[1] ?? 0;
}

/** The thread's move number `moves` went to this host: that is where it is, unless a later one is known. */
export function relocate(job: Job, thread: Thread, to: Host, moves: number): void {
  if (moves <= thread.moves) return;
  job.hosts.get(thread.member)?.threads.delete(thread.id);
  thread.member = to.member;
  to.threads.add(thread.id);
  thread.moves = moves;
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
