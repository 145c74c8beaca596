import type { FromHost, MoveCause } from '../wire/host-messages.js';
import { noteRate } from './deadline.js';
import { bar, noteFull } from './destinations.js';
import { spawnHost } from './hosts.js';
import { advanceMove } from './lifecycle.js';
import { sever } from './severed.js';
import type { Host, Job, Move, Thread, Waiter } from './state.js';
import { relocate } from './threads.js';
import type { Tx } from './tx.js';

/** How long a host where an address range was taken, or that refused, is avoided, ms. */
const AVOID_COLLISION = 60_000;
const AVOID_REFUSED = 5_000;
/** How long a node is left alone after it had no memory for a thread, ms. */
const AVOID_FULL = 2_000;
const RETRY_PINNED = 2_000;
const RETRY_FIRST = 100;
const RETRY_MAX = 5_000;

/** Asks for a move, or lets it wait until its destination host is in the view. */
export function startMove(
  tx: Tx,
  job: Job,
  thread: Thread,
  to: Host,
  cause: MoveCause,
  options: { collision?: boolean; waiter?: Waiter | null } = {},
): void {
  const from = job.hosts.get(thread.member);
  if (!from) return;
  const move: Move = {
    id: `m${job.nextMove++}`,
    state: 'waiting',
    thread: thread.id,
    from: from.member,
    to: to.member,
    cause,
    collision: options.collision ?? false,
    startedAt: tx.now,
    waiter: options.waiter ?? null,
  };
  job.moves.set(move.id, move);
  thread.move = move.id;
  from.leaving++;
  to.coming++;
  if (to.state === 'active') askMove(tx, job, move);
}

/** The destination is in the view: the source may begin. */
export function askMove(tx: Tx, job: Job, move: Move): void {
  const from = job.hosts.get(move.from);
  if (!from) return;
  advanceMove(move, 'asked', move.id);
  tx.toHost(job, from, { t: 'move', move: move.id, thread: move.thread, to: move.to, cause: move.cause });
}

function forget(job: Job, move: Move): void {
  job.moves.delete(move.id);
  const thread = job.threads.get(move.thread);
  if (thread?.move === move.id) thread.move = null;
  const [from, to] = [job.hosts.get(move.from), job.hosts.get(move.to)];
  if (from) from.leaving--;
  if (to) to.coming--;
}

/** A host is going away before moves to it have begun; their threads stay where they are. */
export function abandonMovesTo(tx: Tx, job: Job, host: Host): void {
  if (host.coming === 0) return;
  for (const move of [...job.moves.values()]) {
    if (move.to !== host.member || move.state !== 'waiting') continue;
    forget(job, move);
    const reason = `the extra host for thread ${move.thread} did not start`;
    if (move.waiter) tx.refuse(move.waiter, 'host', reason);
    const thread = job.threads.get(move.thread);
    if (thread) setBack(tx, job, thread, move.to, 'refused', reason);
  }
}

type Moved = Extract<FromHost, { t: 'moved' }>;

/** A thread has asked for it: nobody here knew. */
function onMovedByProgram(tx: Tx, job: Job, source: Host, message: Moved): void {
  const thread = job.threads.get(message.thread);
  const to = message.to === null ? undefined : job.hosts.get(message.to);
  if (!to) return;
  if (thread) relocate(job, thread, to, message.moves ?? 0);
  tx.publish({
    event: 'moved',
    job: job.id,
    thread: message.thread,
    from: nodeName(source),
    to: nodeName(to),
    fromMember: source.member,
    toMember: to.member,
    bytes: message.bytes ?? 0,
    seconds: message.seconds ?? 0,
    pauseSeconds: message.pauseSeconds ?? 0,
    cause: 'program',
    collision: false,
  });
}

/** How a move ended, told by its source. */
export function onMoved(tx: Tx, job: Job, source: Host, message: Moved): void {
  const move = message.move === null ? undefined : job.moves.get(message.move);
  const thread = job.threads.get(message.thread);
  job.touched = true;
  job.countsDirty = true;
  if (!move) {
    if (message.move === null && message.ok) onMovedByProgram(tx, job, source, message);
    return;
  }
  const [from, to] = [job.hosts.get(move.from), job.hosts.get(move.to)];
  forget(job, move);
  const names = { from: nodeName(from), to: nodeName(to) };
  if (message.ok) {
    if (thread && to) relocate(job, thread, to, message.moves ?? 0);
    if (thread) thread.movedAt = tx.now;
    const { bytes, seconds, pauseSeconds } = message;
    noteRate(tx.cluster, bytes ?? 0, seconds ?? 0);
    tx.publish({
      event: 'moved',
      job: job.id,
      thread: message.thread,
      ...names,
      fromMember: move.from,
      toMember: move.to,
      bytes: bytes ?? 0,
      seconds: seconds ?? 0,
      pauseSeconds: pauseSeconds ?? 0,
      cause: move.cause,
      collision: move.collision,
    });
    if (move.waiter) tx.reply(move.waiter, { thread: message.thread, ...names, bytes, seconds, pauseSeconds });
    return;
  }
  const reason = message.reason || message.code;
  if (message.code === 'collision' && thread && to?.node) {
    thread.avoid.set(move.to, tx.now + AVOID_COLLISION);
    const extra = extraHost(tx, job, thread, to.node);
    if (extra) {
      tx.publish({ event: 'collision', job: job.id, thread: thread.id, node: to.node, member: extra.member });
      startMove(tx, job, thread, extra, move.cause, { collision: true, waiter: move.waiter });
      return;
    }
  }
  tx.publish({
    event: 'move-failed',
    job: job.id,
    thread: message.thread,
    ...names,
    code: message.code,
    reason,
    cause: move.cause,
  });
  if (move.waiter) tx.refuse(move.waiter, 'refused', `thread ${message.thread} did not move to ${names.to}: ${reason}`);
  if (thread && message.code === 'features' && to?.node) bar(job, thread, to.node, reason);
  if (message.code === 'no-memory' && to?.node) noteFull(job, to.node, tx.now + AVOID_FULL);
  if (thread) setBack(tx, job, thread, move.to, message.code, reason);
}

/** The thread stays; when and where it may be tried again. */
function setBack(tx: Tx, job: Job, thread: Thread, to: number, code: string, reason: string): void {
  thread.attempts++;
  job.held.add(thread.id);
  thread.retryAt = tx.now + Math.min(RETRY_MAX, RETRY_FIRST * 2 ** Math.min(thread.attempts, 8));
  if (code === 'pinned') {
    thread.pinned = reason;
    thread.retryAt = tx.now + RETRY_PINNED;
  } else if (code === 'unreachable') {
    sever(tx, job, thread.member, to);
  } else if (code === 'refused') {
    thread.avoid.set(to, tx.now + AVOID_REFUSED);
  }
  if (job.balanceAt === null || job.balanceAt > thread.retryAt) job.balanceAt = thread.retryAt;
}

/** No node that is left can run it. Said when the reason is new; looked at again in a while. */
export function keepStranded(tx: Tx, job: Job, thread: Thread, node: string, reason: string): void {
  if (thread.pinned !== reason)
    tx.publish({
      event: 'move-failed',
      job: job.id,
      thread: thread.id,
      from: node,
      to: '?',
      code: 'refused',
      reason: `thread ${thread.id} can go to no other node: ${reason}`,
      cause: 'drain',
    });
  thread.pinned = reason;
  thread.retryAt = tx.now + RETRY_PINNED;
  job.held.add(thread.id);
}

/** An extra host on a node where the thread's address range is not known to be taken: one that is there, or a new one. */
export function extraHost(tx: Tx, job: Job, thread: Thread, nodeName: string): Host | null {
  const node = tx.cluster.nodes.get(nodeName);
  if (node?.state !== 'active') return null;
  for (const host of job.hosts.values()) {
    if (
      host.lite &&
      host.node === nodeName &&
      (host.state === 'active' || host.state === 'spawning' || host.state === 'ready') &&
      !avoids(tx, thread, host)
    ) {
      return host;
    }
  }
  return spawnHost(tx, job, node, true);
}

export function avoids(tx: Tx, thread: Thread, host: Host): boolean {
  const until = thread.avoid.get(host.member);
  if (until === undefined) return false;
  if (until > tx.now) return true;
  thread.avoid.delete(host.member);
  return false;
}

export function nodeName(host: Host | undefined): string {
  return host?.node ?? '?';
}
