/** Stable names of everything that can go wrong; programs may compare them, people read the message. */
export type ErrorCode =
  | 'usage'
  | 'unreachable'
  | 'timeout'
  | 'refused'
  | 'version'
  | 'auth'
  | 'tls'
  | 'malformed'
  | 'no-agents'
  | 'not-found'
  | 'ambiguous'
  | 'last-node'
  | 'bad-program'
  | 'name-taken'
  | 'busy'
  | 'port-in-use'
  | 'store'
  | 'standby'
  | 'job-failed'
  | 'cancelled'
  | 'image'
  | 'host'
  | 'illegal-transition'
  | 'internal';

export interface DmiErrorOptions {
  /** Name of the node, job, thread, file … that the error is about. */
  object?: string;
  /** The next command or setting that helps. */
  hint?: string;
  cause?: unknown;
}

/** The one error class of the control plane. `message` says what happened and names the object; `hint` what to do. */
export class DmiError extends Error {
  readonly code: ErrorCode;
  readonly object: string | undefined;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, options: DmiErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'DmiError';
    this.code = code;
    this.object = options.object;
    this.hint = options.hint;
  }
}

/** Anything that was thrown, as a DmiError. */
export function asDmiError(error: unknown): DmiError {
  if (error instanceof DmiError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new DmiError('internal', message, { cause: error });
}
