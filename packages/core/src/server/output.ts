import type { FromHost } from '../wire/host-messages.js';

/** A piece of what a thread printed. */
export interface Output {
  thread: string;
  stream: 1 | 2;
  data: Uint8Array;
}

interface Source {
  /** The member whose output is passed on now. */
  member: number;
  /** Where the thread arrived next, in order, and what it printed there already. */
  next: { member: number; held: Output[] }[];
}

/**
 * Keeps each thread's output in order over its moves. What a thread printed before a move comes over its old host's channel,
 * what it printed after over the new one's, and either may be faster. The old host says `moved` after its last line: until
 * then, what comes from the new host waits. Pure; one per job.
 */
export class OutputOrder {
  readonly #sources = new Map<string, Source>();
  #held = 0;

  /** Bytes that wait. */
  get held(): number {
    return this.#held;
  }

  /** @returns what can be shown now, in order */
  accept(member: number, message: FromHost): Output[] {
    if (message.t === 'output') return this.#output(member, message);
    if (message.t === 'arrived') {
      const source = this.#sources.get(message.thread);
      if (source && source.member !== member) source.next.push({ member, held: [] });
    }
    if (message.t === 'moved' && message.ok) return this.#moved(member, message.thread);
    return [];
  }

  #output(member: number, { thread, stream, data }: Output): Output[] {
    const source = this.#sources.get(thread);
    if (!source) this.#sources.set(thread, { member, next: [] });
    if (!source || source.member === member) return [{ thread, stream, data }];
    let stage = source.next.findLast(one => one.member === member);
    if (!stage) {
      stage = { member, held: [] };
      source.next.push(stage);
    }
    stage.held.push({ thread, stream, data });
    this.#held += data.length;
    return [];
  }

  #moved(member: number, thread: string): Output[] {
    const source = this.#sources.get(thread);
    if (!source || source.member !== member) return [];
    const stage = source.next.shift();
    if (!stage) {
      this.#sources.delete(thread); // nothing from the new host yet: the next one to print is it
      return [];
    }
    source.member = stage.member;
    return this.#release(stage.held);
  }

  #release(held: Output[]): Output[] {
    for (const { data } of held) this.#held -= data.length;
    return held;
  }

  /** Everything that waits, when waiting is over: the job has ended. */
  flush(): Output[] {
    const all = [...this.#sources.values()].flatMap(source => source.next.flatMap(stage => this.#release(stage.held)));
    this.#sources.clear();
    return all;
  }
}
