import { openSync, writeSync } from 'node:fs';
import { DmiError } from '@dmi/core';

/** Where `--events` goes: a descriptor if it is a number, else a file made anew. @throws DmiError `usage` */
export function openEvents(target: string): (event: object) => void {
  let fd: number;
  try {
    fd = /^\d+$/.test(target) ? Number(target) : openSync(target, 'w');
    writeSync(fd, '');
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DmiError('usage', `cannot write events to ${target}: ${why}`, {
      cause,
      hint: 'give a file, or the number of an open descriptor',
    });
  }
  return event => {
    writeSync(fd, `${JSON.stringify(event)}\n`);
  };
}
