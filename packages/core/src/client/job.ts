import type { ClusterEvent } from '../cluster/events.js';
import { DmiError } from '../errors.js';
import type { Client } from './client.js';

/** What a thread printed. */
export interface OutputPiece {
  job: string;
  thread: string;
  stream: 1 | 2;
  data: Uint8Array;
  /** The member where it was printed, and its number there. */
  member: number;
  seq: number;
}

/** How a job ended. `status` is the program's when it is `done`; `reason` says why it is not. */
export interface JobResult {
  job: string;
  state: 'done' | 'failed' | 'cancelled';
  status: number | null;
  reason: string | null;
  seconds: number;
}

/** A job that this client has submitted. */
export class Job {
  /** Resolves when the job is over and nothing of it runs any more; rejects if the coordinator is lost. */
  readonly done: Promise<JobResult>;
  #resolve: (result: JobResult) => void = () => {};
  #reject: (error: DmiError) => void = () => {};

  constructor(
    private readonly client: Client,
    readonly id: string,
  ) {
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.done.catch(() => {});
  }

  async cancel(): Promise<void> {
    await this.client.kill(this.id);
  }

  /** Internal: an event of the cluster. */
  accept(event: ClusterEvent): void {
    if (event.event !== 'job' || event.job !== this.id) return;
    const { state, status, reason, seconds } = event;
    if (state === 'done' || state === 'failed' || state === 'cancelled')
      this.#resolve({ job: this.id, state, status, reason, seconds });
  }

  /** Internal: it ended while this client was away. */
  over(result: JobResult): void {
    this.#resolve(result);
  }

  /** Internal: the connection has ended. */
  lost(error: DmiError | null): void {
    this.#reject(error ?? new DmiError('unreachable', 'the client was closed'));
  }
}
