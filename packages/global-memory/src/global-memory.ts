import { GlobalArray, type NumericArray, type NumericArrayType } from './array.js';
import { GlobalMemoryError } from './errors.js';
import { MemberPort, type WaitOptions } from './member.js';
import { Mutex } from './mutex.js';
import { type NativeMemberInfo, type NativeStats, type NativeView, OpKind } from './native.js';
import {
  badArgument,
  bytesOf,
  checkAddress,
  checkCount,
  operation,
  type ReadMode,
  readMode,
  type WriteMode,
  writeMode,
} from './operation.js';

export type ViewChange = NativeView;
export type MemberInfo = NativeMemberInfo;
export type MemoryStats = NativeStats;

export interface GlobalMemoryOptions {
  job: string;
  /** The job's secret; every data connection proves it. */
  key: Uint8Array;
  /** Our id in the job, given by the coordinator. */
  member: number;
  /** Build id of the job's hosts. */
  build?: string;
  /** `lite`: uses memory without holding any (what the coordinator gives out). `active`: for tests without hosts. */
  state?: 'lite' | 'active';
  /** Address of the data port; default 127.0.0.1. */
  bindHost?: string;
  bindPort?: number;
  /** Bytes offered, when active. */
  pool?: number;
  /** Seconds after which a silent peer is reported. */
  peerTimeout?: number;
  /** Level as in pino. */
  onLog?: (level: number, line: string) => void;
  onUnreachable?: (member: number, why: string) => void;
}

export interface Piece {
  address: bigint;
  /** Where to, or what. */
  data: ArrayBufferView;
}

const DOUBLE = 26; // ReduceType::Double
const REDUCTIONS = { max: 20, min: 21, sum: 22, prod: 23 } as const;
export type Reduction = keyof typeof REDUCTIONS;

/**
 * The global memory of a running job, for a TypeScript program. `attach()` joins a job by its id; this class can also be made
 * directly, by whoever supplies the view.
 *
 * Addresses are bigint, sizes and indices are numbers. Buffers that are passed in are used in place: leave them alone, and do
 * not transfer them, until the promise settles.
 */
export class GlobalMemory implements AsyncDisposable {
  readonly job: string;
  readonly member: number;
  readonly #port: MemberPort;
  #threads = 0;
  #onClose: (() => Promise<void>) | null = null;

  constructor(options: GlobalMemoryOptions) {
    this.job = options.job;
    this.member = checkCount(options.member, 'member');
    const { onLog, onUnreachable } = options;
    this.#port = new MemberPort(
      {
        job: options.job,
        key: options.key,
        build: options.build ?? '',
        member: options.member,
        state: options.state ?? 'lite',
        bindHost: options.bindHost ?? '127.0.0.1',
        bindPort: options.bindPort ?? 0,
        pool: options.pool ?? 0,
        peerTimeout: options.peerTimeout ?? 30,
      },
      (event, number, text) => (event === 'log' ? onLog?.(number, text) : onUnreachable?.(number, text)),
    );
  }

  /** Our data port. */
  get port(): number {
    return this.#port.port;
  }
  get epoch(): number {
    return this.#port.epoch;
  }
  /** The job's members as we know them. */
  members(): MemberInfo[] {
    return this.#port.members();
  }
  stats(): MemoryStats {
    return this.#port.stats();
  }
  /** A change of the view, in epoch order. Operations wait for the first one. */
  applyView(change: ViewChange): void {
    this.#port.applyView(change);
  }

  // ---- mappings

  /** A new mapping of zero-filled pages; its address. */
  async mmap(options: { pageSize: number; pageCount: number } & WaitOptions): Promise<bigint> {
    const size = checkCount(options.pageSize, 'pageSize', 1);
    const count = checkCount(options.pageCount, 'pageCount', 1);
    return (await this.#port.run(operation(OpKind.mmap, { size, value: BigInt(count) }), options)).value;
  }

  /** Ends a mapping: its address must not be used any more, by anybody. */
  async munmap(address: bigint, options: WaitOptions = {}): Promise<void> {
    await this.#port.run(operation(OpKind.munmap, { addr: checkAddress(address) }), options);
  }

  // ---- bytes

  /** `size` bytes from `address`. */
  async read(address: bigint, size: number, options: WaitOptions & { mode?: ReadMode } = {}): Promise<Uint8Array> {
    const data = new Uint8Array(checkCount(size, 'size'));
    await this.readInto(address, data, options);
    return data;
  }

  /** Fills `target` from `address` on. */
  async readInto(
    address: bigint,
    target: ArrayBufferView,
    options: WaitOptions & { mode?: ReadMode } = {},
  ): Promise<void> {
    await this.readGroup([{ address, data: target }], options);
  }

  async write(address: bigint, data: ArrayBufferView, options: WaitOptions & { mode?: WriteMode } = {}): Promise<void> {
    await this.writeGroup([{ address, data }], options);
  }

  /** Many reads in one operation: one message per owner, not per piece. */
  async readGroup(pieces: readonly Piece[], options: WaitOptions & { mode?: ReadMode } = {}): Promise<void> {
    const op = operation(OpKind.read, { mode: readMode(options.mode), pieces: native(pieces) });
    await this.#port.run(op, options);
  }

  /** Many writes in one operation. Each piece is atomic within its page; the group as a whole is not. */
  async writeGroup(pieces: readonly Piece[], options: WaitOptions & { mode?: WriteMode } = {}): Promise<void> {
    const op = operation(OpKind.write, { mode: writeMode(options.mode), pieces: native(pieces) });
    await this.#port.run(op, options);
  }

  /** `length` numbers of a type, from `address` on: `memory.array(Float64Array, address, 1000)`. */
  array<A extends NumericArray>(type: NumericArrayType<A>, address: bigint, length: number): GlobalArray<A> {
    return new GlobalArray(this, type, checkAddress(address), checkCount(length, 'length'));
  }

  // ---- atomics

  /** Adds to the signed 64-bit integer at `address` (wrapping); what it was before. */
  async fetchAdd(address: bigint, add: bigint, options: WaitOptions & { mode?: WriteMode } = {}): Promise<bigint> {
    if (typeof add !== 'bigint') badArgument(`add must be a bigint, not ${typeof add}`);
    const fields = {
      mode: writeMode(options.mode),
      addr: checkAddress(address),
      size: 8,
      value: BigInt.asIntN(64, add),
    };
    return (await this.#port.run(operation(OpKind.fetchAdd, fields), options)).value;
  }

  /** Replaces the bytes at `address` by `desired` if they equal `expected` (same length, within one page). */
  async compareAndSwap(
    address: bigint,
    expected: ArrayBufferView,
    desired: ArrayBufferView,
    options: WaitOptions & { mode?: WriteMode } = {},
  ): Promise<boolean> {
    const [compare, swap] = [bytesOf(expected, 'expected'), bytesOf(desired, 'desired')];
    if (compare.length !== swap.length) badArgument('expected and desired must have the same length');
    const op = operation(OpKind.compareAndSwap, {
      mode: writeMode(options.mode),
      addr: checkAddress(address),
      size: compare.length,
      in: compare,
      in2: swap,
    });
    return (await this.#port.run(op, options)).value === 1n;
  }

  /** Stores `data` at `address` (within one page); the bytes that were there. */
  async fetchAndStore(
    address: bigint,
    data: ArrayBufferView,
    options: WaitOptions & { mode?: WriteMode } = {},
  ): Promise<Uint8Array> {
    const bytes = bytesOf(data, 'data');
    const out = new Uint8Array(bytes.length);
    const fields = { mode: writeMode(options.mode), addr: checkAddress(address), size: bytes.length, in: bytes, out };
    await this.#port.run(operation(OpKind.fetchAndStore, fields), options);
    return out;
  }

  /** Every change of `size` bytes at `address`, starting with what they are now; changes in quick succession are merged. */
  async *watch(address: bigint, size: number, options: WaitOptions = {}): AsyncGenerator<Uint8Array, void, void> {
    let known = await this.read(address, checkCount(size, 'size', 1), options);
    for (;;) {
      yield known.slice();
      const out = new Uint8Array(size);
      await this.#port.run(operation(OpKind.watch, { addr: address, size, in: known, out }), options);
      known = out;
    }
  }

  // ---- synchronisation

  /** The mutex named by an address inside a mapping; the bytes there are not touched. */
  mutex(address: bigint): Mutex {
    return new Mutex(checkAddress(address), this.#port, () => this.#thread());
  }

  /** Waits until `count` participants have arrived at the barrier named by `address`. An arrival cannot be taken back. */
  async barrier(address: bigint, count: number, options: WaitOptions = {}): Promise<void> {
    const fields = { addr: checkAddress(address), count: checkCount(count, 'count', 1), thread: this.#thread() };
    await this.#port.run(operation(OpKind.barrier, fields), options);
  }

  /** As barrier(); every participant gets the combination of all values. */
  async allreduce(
    address: bigint,
    count: number,
    reduction: Reduction,
    value: number,
    options: WaitOptions = {},
  ): Promise<number> {
    const reduceOp = REDUCTIONS[reduction] ?? badArgument(`${reduction} is none of max, min, sum, prod`);
    const out = new Float64Array(1);
    const op = operation(OpKind.allreduce, {
      addr: checkAddress(address),
      count: checkCount(count, 'count', 1),
      thread: this.#thread(),
      reduceOp,
      reduceType: DOUBLE,
      in: bytesOf(Float64Array.of(value), 'value'),
      out: bytesOf(out, 'out'),
    });
    await this.#port.run(op, options);
    return out[0] as number;
  }

  // ---- the end

  /** Internal: what else is to be done when the memory is closed. */
  onClose(action: () => Promise<void>): void {
    this.#onClose = action;
  }

  /** Leaves the job. What is under way fails with code `closed`. A second call does nothing. */
  async close(): Promise<void> {
    const action = this.#onClose;
    this.#onClose = null;
    try {
      await action?.();
    } finally {
      this.#port.close();
    }
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Internal: the job is over, or we were put out of it. */
  abandon(reason: string): void {
    this.#onClose = null;
    this.#port.close(new GlobalMemoryError('closed', reason));
  }

  /** An identity for one waiting call: as a thread's name, our id and a number unique here. */
  #thread(): bigint {
    this.#threads = (this.#threads % 0x7fffffff) + 1;
    return (BigInt(this.member) << 32n) | BigInt(this.#threads);
  }
}

function native(pieces: readonly Piece[]): { addr: bigint; data: Uint8Array }[] {
  return pieces.map((piece, i) => ({
    addr: checkAddress(piece.address, pieces.length === 1 ? 'address' : `address of piece ${i}`),
    data: bytesOf(piece.data, 'data'),
  }));
}
