import type { ClusterEvent } from '@dmi/core';
import { bytes } from './table.js';

/** What a drain says about itself while it goes on, a line for each thing that happens. */
export class DrainProgress {
  #node: string | null = null;
  #threads = 0;
  #moved = 0;
  #bytes = 0;
  #since = 0;
  /** What was said last of threads that stay. */
  readonly #stays = new Map<string, string>();

  /** Null: the event is none of this drain's. */
  line(event: ClusterEvent): string | null {
    switch (event.event) {
      case 'drain-started':
        if (this.#node !== null) return null;
        this.#node = event.node;
        this.#threads = event.threads;
        this.#since = event.time;
        return `draining ${event.node}: ${event.threads} threads`;
      case 'moved': {
        if (event.cause !== 'drain' || (this.#node !== null && event.from !== this.#node)) return null;
        this.#moved++;
        this.#bytes += event.bytes;
        // Threads may have been started there since.
        const of = this.#node === null ? '' : ` of ${Math.max(this.#moved, this.#threads)}`;
        return `  ${this.#moved}${of}: thread ${event.thread} -> ${event.to}, ${bytes(event.bytes)}`;
      }
      case 'move-failed': {
        if (event.cause !== 'drain' || (this.#node !== null && event.from !== this.#node)) return null;
        const { job, thread, reason } = event;
        // It is tried again and again; that is not news.
        if (this.#stays.get(`${job}/${thread}`) === reason) return null;
        this.#stays.set(`${job}/${thread}`, reason);
        return `  ${reason.includes(thread) ? reason : `thread ${thread} stays for now: ${reason}`}`;
      }
      case 'drain-finished': {
        if (event.node !== this.#node || this.#moved === 0) return null;
        const rate = this.#bytes / Math.max(0.001, event.time - this.#since);
        return `  ${this.#moved} threads, ${bytes(this.#bytes)}, at ${bytes(Math.round(rate))}/s`;
      }
      default:
        return null;
    }
  }
}
