import { fromErrno, GlobalMemoryError } from './errors.js';
import {
  loadAddon,
  type NativeConfig,
  type NativeEvent,
  type NativeMember,
  type NativeMemberInfo,
  type NativeOp,
  type NativeResult,
  type NativeStats,
  type NativeView,
} from './native.js';

export interface WaitOptions {
  /** Ends the wait with an error of code `aborted`. What was asked for may still take effect. */
  signal?: AbortSignal | undefined;
}

/** The native member with promises, and an orderly end. Internal: programs use GlobalMemory. */
export class MemberPort {
  readonly #native: NativeMember;
  readonly #pending = new Set<(error: GlobalMemoryError) => void>();
  #closed: GlobalMemoryError | null = null;

  constructor(config: NativeConfig, onEvent: NativeEvent) {
    const { NativeMember } = loadAddon();
    try {
      this.#native = new NativeMember(config, onEvent);
    } catch (cause) {
      if (cause instanceof TypeError || !(cause instanceof Error)) throw cause;
      throw new GlobalMemoryError('port', `the data port cannot be opened: ${cause.message}`, { cause });
    }
  }

  get port(): number {
    return this.#alive().port;
  }
  get epoch(): number {
    return this.#alive().epoch;
  }
  applyView(view: NativeView): void {
    this.#alive().applyView(view);
  }
  stats(): NativeStats {
    return this.#alive().stats();
  }
  members(): NativeMemberInfo[] {
    return this.#alive().members();
  }

  /**
   * Runs an operation.
   * @param late is given the result of an operation whose wait was aborted
   */
  run(op: NativeOp, { signal }: WaitOptions = {}, late?: (result: NativeResult) => void): Promise<NativeResult> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(aborted(signal));
      let waiting = true;
      const settle = (result: NativeResult) => {
        this.#pending.delete(fail);
        signal?.removeEventListener('abort', abort);
        if (!waiting) return late?.(result);
        waiting = false;
        if (result.error === 0) resolve(result);
        else reject(fromErrno(result.error, result.message));
      };
      const fail = (error: GlobalMemoryError) => {
        waiting = false;
        signal?.removeEventListener('abort', abort);
        reject(error);
      };
      const abort = () => fail(aborted(signal as AbortSignal));
      const result = this.#alive().submit(op, settle);
      if (result) return settle(result);
      this.#pending.add(fail);
      signal?.addEventListener('abort', abort);
    });
  }

  /** Ends the member; what is under way fails with `reason`. */
  close(reason = new GlobalMemoryError('closed', 'the global memory was closed')): void {
    if (this.#closed) return;
    this.#closed = reason;
    this.#native.close();
    for (const fail of this.#pending) fail(reason);
    this.#pending.clear();
  }

  #alive(): NativeMember {
    if (this.#closed) throw this.#closed;
    return this.#native;
  }
}

function aborted(signal: AbortSignal): GlobalMemoryError {
  return new GlobalMemoryError('aborted', 'the wait was aborted', { cause: signal.reason });
}
