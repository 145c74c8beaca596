import type { MemberPort, WaitOptions } from './member.js';
import { OpKind } from './native.js';
import { operation } from './operation.js';

/** A lock that is held. `await using held = await mutex.lock()` releases it at the end of the block. */
export class Held implements AsyncDisposable {
  #unlock: (() => Promise<void>) | null;

  /** Internal. */
  constructor(unlock: () => Promise<void>) {
    this.#unlock = unlock;
  }

  /** Releases the lock. A second call does nothing. */
  async unlock(): Promise<void> {
    const unlock = this.#unlock;
    this.#unlock = null;
    await unlock?.();
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.unlock();
  }
}

/**
 * A mutex of the job, named by its address: threads of the program that lock the same address (`DMI_mutex_lock`) exclude each
 * other and us. Waiters are served in the order in which they came.
 */
export class Mutex {
  /** Internal: see GlobalMemory.mutex(). `nextThread` gives every holder an identity of its own. */
  constructor(
    readonly address: bigint,
    private readonly member: MemberPort,
    private readonly nextThread: () => bigint,
  ) {}

  /** Waits for the lock. When the wait is aborted the lock is given back as soon as it comes. */
  async lock(options: WaitOptions = {}): Promise<Held> {
    const thread = this.nextThread();
    const lock = operation(OpKind.mutexLock, { addr: this.address, thread });
    await this.member.run(lock, options, result => {
      if (result.error === 0) this.#unlock(thread).catch(() => {});
    });
    return new Held(() => this.#unlock(thread));
  }

  /** The lock if it is free, else null. */
  async tryLock(): Promise<Held | null> {
    const thread = this.nextThread();
    const { value } = await this.member.run(operation(OpKind.mutexTryLock, { addr: this.address, thread }));
    return value === 1n ? new Held(() => this.#unlock(thread)) : null;
  }

  /** Runs `body` with the lock held. */
  async run<T>(body: () => Promise<T> | T, options: WaitOptions = {}): Promise<T> {
    const held = await this.lock(options);
    try {
      return await body();
    } finally {
      await held.unlock();
    }
  }

  async #unlock(thread: bigint): Promise<void> {
    await this.member.run(operation(OpKind.mutexUnlock, { addr: this.address, thread }));
  }
}
