import type { DmiError } from '@dmi/core';

/** Exit statuses of `dmi`; `dmi run` gives the program's instead when it has run. */
export const EXIT = { done: 0, failed: 1, usage: 2, unreachable: 3, timeout: 4 } as const;

/** Thrown to end with a status after everything has been said. */
export class Exit extends Error {
  /** @param hurry do not wait long for what was printed to be read */
  constructor(
    readonly status: number,
    readonly hurry = false,
  ) {
    super(`exit ${status}`);
  }
}

export function exitStatus(error: DmiError): number {
  switch (error.code) {
    case 'usage':
    case 'bad-program':
    case 'not-found':
    case 'ambiguous':
      return EXIT.usage;
    case 'unreachable':
    case 'standby':
    case 'no-agents':
      return EXIT.unreachable;
    case 'timeout':
      return EXIT.timeout;
    default:
      return EXIT.failed;
  }
}

/** The error as people read it: what happened, and the next command. */
export function explain(error: DmiError): string {
  return `dmi: ${error.message}${error.hint ? `\n     ${error.hint}` : ''}\n`;
}
