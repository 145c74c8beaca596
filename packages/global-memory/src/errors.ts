/** Stable names of what can go wrong with global memory; programs may compare them, people read the message. */
export type MemoryErrorCode =
  /** An address that is not mapped, or past the end of its mapping, or the mapping is gone. */
  | 'bad-address'
  /** An argument that makes no sense: a size, a mode, a read-modify-write across a page border. */
  | 'bad-argument'
  /** The job has no room for the mapping. */
  | 'out-of-memory'
  /** The object is in use. */
  | 'busy'
  /** A mutex is unlocked by who does not hold it. */
  | 'not-holder'
  | 'too-big'
  | 'unsupported'
  /** The member was closed, or the job ended, with the operation under way. */
  | 'closed'
  /** An AbortSignal ended the wait. `cause` is its reason. */
  | 'aborted'
  /** The native addon cannot be loaded: build it. */
  | 'no-addon'
  /** The data port cannot be opened. */
  | 'port'
  | 'failed';

/** The one error class of this package. */
export class GlobalMemoryError extends Error {
  readonly code: MemoryErrorCode;
  /** Number of the underlying system error, when there is one. */
  readonly errno: number | null;

  constructor(code: MemoryErrorCode, message: string, options: { cause?: unknown; errno?: number } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'GlobalMemoryError';
    this.code = code;
    this.errno = options.errno ?? null;
  }
}

// Linux errno values, as the engine reports them.
const CODES: Readonly<Record<number, MemoryErrorCode>> = {
  1: 'not-holder', // EPERM
  7: 'too-big', // E2BIG
  12: 'out-of-memory', // ENOMEM
  14: 'bad-address', // EFAULT
  16: 'busy', // EBUSY
  22: 'bad-argument', // EINVAL
  38: 'unsupported', // ENOSYS
};

/** An engine's error. */
export function fromErrno(errno: number, message: string): GlobalMemoryError {
  return new GlobalMemoryError(CODES[errno] ?? 'failed', message || `the operation failed (errno ${errno})`, { errno });
}
