import { asDmiError } from '../errors.js';
import type { ViewChange } from '../wire/host-messages.js';
import type { Client } from './client.js';

/**
 * Membership of a client in a running job. Start a Member with `member`, `job` and `key`, then `announce` its data port: the
 * views come from then on, the first one whole.
 */
export class Attachment {
  readonly job: string;
  /** The per-job secret that data connections prove. */
  readonly key: Uint8Array;
  readonly member: number;
  /** Build id of the job's hosts. */
  readonly build: string;
  /** The view as it was when this client attached; it is not part of it yet. */
  readonly view: ViewChange;
  #listener: ((change: ViewChange) => void) | null = null;
  #waiting: ViewChange[] = [];
  #detached = false;

  constructor(
    private readonly client: Client,
    reply: { job: string; key: Uint8Array; member: number; build: string; view: ViewChange },
    private readonly release: () => void,
  ) {
    this.job = reply.job;
    this.key = reply.key;
    this.member = reply.member;
    this.build = reply.build;
    this.view = reply.view;
  }

  /** Calls `listener` with every change of the view, in epoch order; those that came before are not lost. */
  onView(listener: (change: ViewChange) => void): void {
    this.#listener = listener;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const change of waiting) listener(change);
  }

  /** Says where the member's data port is; it is put into the job's view. */
  async announce(host: string, port: number): Promise<void> {
    await this.client.call('announce', { job: this.job, member: this.member, host, port });
  }

  /** The member is gone. Closing the client, and the end of the job, do the same. */
  async detach(): Promise<void> {
    if (this.#detached) return;
    this.#detached = true;
    this.release();
    await this.client.call('detach', { job: this.job, member: this.member }).catch(error => {
      if (asDmiError(error).code !== 'not-found') throw error;
    });
  }

  /** Internal: a change came from the coordinator. */
  accept(change: ViewChange): void {
    if (this.#listener) this.#listener(change);
    else this.#waiting.push(change);
  }
}
