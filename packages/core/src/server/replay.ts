import type { AgentBody } from '../wire/agent-messages.js';
import type { Output, Whereabouts } from './output.js';

type Item = Extract<AgentBody, { t: 'replayed' }>['items'][number];

/** What a thread printed during one stay on a member: stay k begins with its k-th move. */
interface Stay {
  member: number;
  /** Null: how it came there is not known any more. */
  number: number | null;
  ended: boolean;
  output: Output[];
}

/**
 * Puts in order what members tell again of a job's output, each of its own and in its own order. Pure.
 *
 * @param threads where the job's threads are, and after how many moves
 * @returns what to show, and what must be known of threads that have moved to go on from there
 */
export function orderReplay(
  items: Iterable<Item>,
  threads: ReadonlyMap<string, { member: number; moves: number }>,
): { output: Output[]; known: Map<string, Whereabouts> } {
  const known = new Map<string, Whereabouts>();
  for (const [thread, { member, moves }] of threads)
    if (moves > 0) known.set(thread, { member, stay: moves, current: moves });
  const output: Output[] = [];
  for (const [thread, stays] of gather(items)) {
    // What never ended, and began nobody knows when, is where the thread is now.
    stays.sort((a, b) => (a.number ?? Number.POSITIVE_INFINITY) - (b.number ?? Number.POSITIVE_INFINITY));
    for (const stay of stays) output.push(...stay.output);
    const where = known.get(thread);
    const open = stays.find(({ ended, number }) => !ended && number !== null);
    if (where && open?.number != null) where.current = Math.min(where.current, open.number);
  }
  return { output, known };
}

function gather(items: Iterable<Item>): Map<string, Stay[]> {
  const threads = new Map<string, Stay[]>();
  for (const { member, seq, message } of items) {
    if (message.t !== 'output' && message.t !== 'arrived' && message.t !== 'moved') continue;
    const stays = threads.get(message.thread) ?? [];
    threads.set(message.thread, stays);
    let stay = stays.findLast(one => one.member === member);
    if (message.t === 'arrived' || !stay || stay.ended) {
      stay = { member, number: message.t === 'arrived' ? message.moves : null, ended: false, output: [] };
      stays.push(stay);
    }
    if (message.t === 'moved') {
      stay.ended = true;
      stay.number ??= (message.moves ?? 1) - 1;
    }
    if (message.t === 'output') {
      const { thread, stream, data } = message;
      stay.output.push({ thread, stream, data, member, seq });
    }
  }
  return threads;
}
