import type { AgentBody, FromHost } from '@dmi/core';

type Item = Extract<AgentBody, { t: 'replayed' }>['items'][number];

/** Of one job's output at most this much is kept, bytes; the oldest goes first. */
const LIMIT = 16 << 20;
/** A piece of the answer to `replay` has at most this many bytes of output. */
const PIECE = 1 << 20;
/** What is kept of where threads came from and went to, items per job. */
const MARKS = 50_000;

/**
 * What a job's hosts here have said of its output and its client has not confirmed yet: what threads printed, and between
 * it their comings and goings. It can be told again after the client or the coordinator was away.
 */
export class Retained {
  #items: Item[] = [];
  #bytes = 0;
  readonly #next = new Map<number, number>();

  /** @returns the number of what was said, from 1 per member; 0 if it has nothing to do with output */
  heard(member: number, message: FromHost): number {
    if (message.t !== 'output' && message.t !== 'arrived' && !(message.t === 'moved' && message.ok)) return 0;
    const seq = (this.#next.get(member) ?? 0) + 1;
    this.#next.set(member, seq);
    this.#items.push({ member, seq, message });
    this.#bytes += size(message);
    if (this.#bytes > LIMIT || this.#items.length > 2 * MARKS) this.#trim();
    return seq;
  }

  /** The client has these. Comings and goings before them are not needed either. */
  seen(list: readonly { thread: string; member: number; seq: number }[]): void {
    const upTo = new Map(list.map(({ thread, member, seq }) => [`${member}/${thread}`, seq]));
    this.#keep(({ member, seq, message }) => seq > (upTo.get(`${member}/${threadOf(message)}`) ?? 0));
  }

  /** Everything that is kept, in pieces that fit into a message. */
  *pieces(): Generator<{ items: Item[]; last: boolean }> {
    let items: Item[] = [];
    let bytes = 0;
    for (const item of this.#items) {
      items.push(item);
      bytes += size(item.message);
      if (bytes < PIECE && items.length < 10_000) continue;
      yield { items, last: false };
      items = [];
      bytes = 0;
    }
    yield { items, last: true };
  }

  #trim(): void {
    let tooMuch = this.#bytes - LIMIT / 2;
    let marks = this.#items.length - MARKS;
    this.#keep(({ message }) => {
      const gone = tooMuch > 0 || marks > 0;
      tooMuch -= size(message);
      marks--;
      return !gone;
    });
  }

  #keep(wanted: (item: Item) => boolean): void {
    this.#items = this.#items.filter(wanted);
    this.#bytes = this.#items.reduce((sum, { message }) => sum + size(message), 0);
  }
}

function size(message: FromHost): number {
  return message.t === 'output' ? message.data.length : 0;
}

function threadOf(message: FromHost): string {
  return 'thread' in message ? (message.thread ?? '') : '';
}
