import type { GlobalMemory } from './global-memory.js';
import type { WaitOptions } from './member.js';
import { badArgument, checkCount, type ReadMode, type WriteMode } from './operation.js';

export type NumericArray =
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array;

/** Float64Array, Int32Array, … */
export interface NumericArrayType<A extends NumericArray> {
  readonly BYTES_PER_ELEMENT: number;
  new (length: number): A;
}

/** An array of numbers in global memory, in the machine's byte order. Indices are elements. */
export class GlobalArray<A extends NumericArray> {
  /** Internal: see GlobalMemory.array(). */
  constructor(
    private readonly memory: GlobalMemory,
    private readonly type: NumericArrayType<A>,
    readonly address: bigint,
    readonly length: number,
  ) {}

  /** Elements [from, to) as an array of the given type. */
  async read(from = 0, to = this.length, options: WaitOptions & { mode?: ReadMode } = {}): Promise<A> {
    this.#check(from, to);
    const target = new this.type(to - from);
    await this.memory.readInto(this.#at(from), target, options);
    return target;
  }

  /** Writes `data` to the elements from index `at` on. */
  async write(data: A, at = 0, options: WaitOptions & { mode?: WriteMode } = {}): Promise<void> {
    this.#check(at, at + data.length);
    await this.memory.write(this.#at(at), data, options);
  }

  async get(index: number, options: WaitOptions & { mode?: ReadMode } = {}): Promise<A[number]> {
    return (await this.read(index, index + 1, options))[0] as A[number];
  }

  async set(index: number, value: A[number], options: WaitOptions & { mode?: WriteMode } = {}): Promise<void> {
    const data = new this.type(1);
    data[0] = value;
    await this.write(data, index, options);
  }

  #at(index: number): bigint {
    return this.address + BigInt(index * this.type.BYTES_PER_ELEMENT);
  }
  #check(from: number, to: number): void {
    checkCount(from, 'first index');
    checkCount(to, 'end index');
    if (from > to || to > this.length) badArgument(`elements ${from} to ${to} are not in an array of ${this.length}`);
  }
}
