import { GlobalMemoryError } from './errors.js';
import type { NativeOp } from './native.js';

/** `get`: read at the owner. `invalidate`: keep a copy until somebody writes. `update`: keep one that writes renew. */
export type ReadMode = 'get' | 'invalidate' | 'update';
/** `put`: write at the owner. `exclusive`: fetch the page and write here (a lite member owns nothing: as `put`). */
export type WriteMode = 'put' | 'exclusive';

const READ_MODES: Readonly<Record<ReadMode, number>> = { get: 20, invalidate: 21, update: 22 };
const WRITE_MODES: Readonly<Record<WriteMode, number>> = { exclusive: 23, put: 24 };

export function readMode(mode: ReadMode = 'get'): number {
  return READ_MODES[mode] ?? badArgument(`mode ${JSON.stringify(mode)} is none of get, invalidate, update`);
}
export function writeMode(mode: WriteMode = 'put'): number {
  return WRITE_MODES[mode] ?? badArgument(`mode ${JSON.stringify(mode)} is none of put, exclusive`);
}

export function badArgument(message: string): never {
  throw new GlobalMemoryError('bad-argument', message);
}

const LARGEST_ADDRESS = 2n ** 63n - 1n;

export function checkAddress(addr: bigint, name = 'address'): bigint {
  if (typeof addr !== 'bigint') badArgument(`${name} must be a bigint, not ${typeof addr}`);
  if (addr <= 0n || addr > LARGEST_ADDRESS) {
    throw new GlobalMemoryError('bad-address', `${name} ${addr} is not a global address`);
  }
  return addr;
}

export function checkCount(value: number, name: string, least = 0): number {
  if (!Number.isSafeInteger(value) || value < least) badArgument(`${name} must be an integer of at least ${least}`);
  return value;
}

/** The bytes under any view; they are used in place. */
export function bytesOf(data: ArrayBufferView, name: string): Uint8Array {
  if (!ArrayBuffer.isView(data)) badArgument(`${name} must be a typed array, Buffer or DataView`);
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

export function operation(kind: number, fields: Partial<NativeOp>): NativeOp {
  return {
    kind,
    mode: 20, // get, as in member.h
    reduceOp: 0,
    reduceType: 0,
    count: 0,
    addr: 0n,
    addr2: 0n,
    size: 0,
    value: 0n,
    thread: 0n,
    in: null,
    in2: null,
    out: null,
    pieces: null,
    ...fields,
  };
}
