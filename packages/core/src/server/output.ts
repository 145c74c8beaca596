import type { FromHost } from '../wire/host-messages.js';

/** A piece of what a thread printed. */
export interface Output {
  thread: string;
  stream: 1 | 2;
  data: Uint8Array;
  /** The member where it was printed, and its number among what that member said of output. */
  member: number;
  seq: number;
}

/** Where a thread is, by its stays (see Stays), and which is the first that has not ended. */
export interface Whereabouts {
  member: number;
  stay: number;
  current: number;
}

/** A thread's stay on one host after the other: stay k begins with its k-th move, stay 0 where it started. */
interface Stays {
  /** The stay whose output is passed on now. */
  current: number;
  /** Stay at each member that it has been to. A member's news comes in order, so what it printed there is of the last one. */
  at: Map<number, number>;
  /** Stays that have ended while earlier ones had not. */
  ended: Set<number>;
  /** What it printed in stays to come. */
  held: Map<number, Output[]>;
  /** The last stay, once it has exited. */
  last: number | null;
}

/**
 * Keeps each thread's output in order over its moves. What a thread printed before a move comes over its old host's channel,
 * what it printed after over the new one's, and either may be faster. The old host says `moved` after its last line: until
 * then, what comes from the new host waits. Pure; one per job.
 */
export class OutputOrder {
  readonly #threads = new Map<string, Stays>();
  #held = 0;

  /** @param known threads that have moved before anything was accepted here */
  constructor(known: ReadonlyMap<string, Whereabouts> = new Map()) {
    for (const [thread, { member, stay, current }] of known)
      this.#threads.set(thread, {
        current,
        at: new Map([[member, stay]]),
        ended: new Set(),
        held: new Map(),
        last: null,
      });
  }

  /** Bytes that wait. */
  get held(): number {
    return this.#held;
  }

  /** @returns what can be shown now, in order */
  accept(member: number, message: FromHost, seq = 0): Output[] {
    switch (message.t) {
      case 'output':
        return this.#output({ thread: message.thread, stream: message.stream, data: message.data, member, seq });
      case 'arrived':
        this.#stays(message.thread).at.set(member, message.moves);
        return [];
      case 'moved':
        return message.ok ? this.#end(message.thread, (message.moves ?? 0) - 1) : [];
      case 'exited':
        if (message.moves > 0 || this.#threads.has(message.thread)) {
          this.#stays(message.thread).last = message.moves;
          return this.#end(message.thread, message.moves);
        }
        return [];
      default:
        return [];
    }
  }

  #stays(thread: string): Stays {
    let stays = this.#threads.get(thread);
    if (!stays) {
      stays = { current: 0, at: new Map(), ended: new Set(), held: new Map(), last: null };
      this.#threads.set(thread, stays);
    }
    return stays;
  }

  #output(piece: Output): Output[] {
    const { thread, member, data } = piece;
    const stays = this.#threads.get(thread);
    const stay = stays?.at.get(member) ?? 0;
    if (!stays || stay <= stays.current) return [piece];
    const held = stays.held.get(stay);
    if (held) held.push(piece);
    else stays.held.set(stay, [piece]);
    this.#held += data.length;
    return [];
  }

  #end(thread: string, stay: number): Output[] {
    const stays = this.#stays(thread);
    const free: Output[] = [];
    stays.ended.add(stay);
    while (stays.ended.delete(stays.current)) {
      stays.current++;
      free.push(...this.#release(stays, stays.current));
    }
    if (stays.last !== null && stays.current > stays.last) this.#threads.delete(thread);
    return free;
  }

  #release(stays: Stays, stay: number): Output[] {
    const held = stays.held.get(stay) ?? [];
    stays.held.delete(stay);
    for (const { data } of held) this.#held -= data.length;
    return held;
  }

  /** Everything that waits, when waiting is over: the job has ended. */
  flush(): Output[] {
    const all: Output[] = [];
    for (const stays of this.#threads.values()) {
      for (const stay of [...stays.held.keys()].sort((a, b) => a - b)) all.push(...this.#release(stays, stay));
    }
    this.#threads.clear();
    return all;
  }
}
