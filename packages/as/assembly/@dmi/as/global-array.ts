import * as dmi from './bindings';
import { fail, scratch } from './bindings';

export enum ReadMode { Get = 20, Invalidate = 21, Update = 22 }
export enum WriteMode { Exclusive = 23, Put = 24 }

/** Accesses in flight: they and their buffers must stay until they are done, whoever else forgets them. */
// @ts-expect-error: decorator
@lazy let inFlight: Pending | null = null;

export class Pending {
  private next: Pending | null = null;
  private previous: Pending | null = null;

  /** @param status a DMI_local_status_t, 0 when the access is done */
  private constructor(private status: usize, private buffer: Object) {
    this.next = inFlight;
    if (inFlight) inFlight!.previous = this;
    inFlight = this;
  }

  // @ts-expect-error: decorator
  @unsafe static of(status: usize, buffer: Object): Pending {
    return new Pending(status, buffer);
  }

  done(): bool {
    if (!this.status) return true;
    const answer = dmi.check(this.status);
    if (answer == 0) return false;
    this.finish();
    if (answer < 0) fail('an access that was started');
    return true;
  }

  wait(): void {
    if (!this.status) return;
    const ok = dmi.wait(this.status);
    this.finish();
    if (!ok) fail('an access that was started');
  }

  private finish(): void {
    heap.free(this.status);
    this.status = 0;
    if (this.previous) this.previous!.next = this.next;
    else inFlight = this.next;
    if (this.next) this.next!.previous = this.previous;
    this.next = null;
    this.previous = null;
  }
}

/** Bytes of a page when the program does not choose. */
const PAGE_BYTES: i64 = 65536;
/** What stands at a global array's address: four i64. */
const DATA = 0, LENGTH = 8, PAGE_LENGTH = 16, ELEMENT_SIZE = 24, DESCRIPTOR: i64 = 32;

function shape<T>(what: string): string {
  return 'GlobalArray<' + nameof<T>() + '>.' + what;
}

export class GlobalArray<T> {
  private _address: i64;
  private _data: i64;
  private _length: i64;
  private _pageLength: i64;

  constructor(length: i64, pageLength: i64 = 0) {
    if (isReference<T>()) ERROR('a GlobalArray holds numbers or booleans: its elements are bytes that all threads see');
    if (length <= 0 || pageLength < 0)
      throw new RangeError('new GlobalArray: a length of ' + length.toString() + ' with pages of ' + pageLength.toString() + '; both must be positive');
    if (pageLength == 0) pageLength = min(length, max<i64>(1, PAGE_BYTES / sizeof<T>()));
    const data = dmi.map(pageLength * sizeof<T>(), (length + pageLength - 1) / pageLength);
    if (!data) fail('new GlobalArray<' + nameof<T>() + '>(' + length.toString() + ')');
    const address = dmi.map(DESCRIPTOR, 1);
    if (!address) fail('new GlobalArray');
    store<i64>(scratch, data, DATA);
    store<i64>(scratch, length, LENGTH);
    store<i64>(scratch, pageLength, PAGE_LENGTH);
    store<i64>(scratch, sizeof<T>(), ELEMENT_SIZE);
    if (!dmi.write(address, DESCRIPTOR, scratch, WriteMode.Put, 0)) fail('new GlobalArray');
    this._address = address;
    this._data = data;
    this._length = length;
    this._pageLength = pageLength;
  }

  static at<U>(address: i64): GlobalArray<U> {
    if (!dmi.read(address, DESCRIPTOR, scratch, ReadMode.Get, 0)) fail('GlobalArray.at(' + address.toString() + ')');
    if (load<i64>(scratch, ELEMENT_SIZE) != sizeof<U>())
      throw new TypeError('GlobalArray.at(' + address.toString() + '): what is there is not a GlobalArray<' + nameof<U>() + '>');
    const array = changetype<GlobalArray<U>>(__new(offsetof<GlobalArray<U>>(), idof<GlobalArray<U>>()));
    array._address = address;
    array._data = load<i64>(scratch, DATA);
    array._length = load<i64>(scratch, LENGTH);
    array._pageLength = load<i64>(scratch, PAGE_LENGTH);
    return array;
  }

  static of<U>(values: StaticArray<U>): GlobalArray<U> {
    const array = new GlobalArray<U>(values.length, values.length);
    array.write(0, values);
    return array;
  }

  get address(): i64 {
    return this._address;
  }

  get length(): i64 {
    return this._length;
  }

  get pageLength(): i64 {
    return this._pageLength;
  }

  // @ts-expect-error: decorator
  @inline private where(index: i64): i64 {
    if (<u64>index >= <u64>this._length) this.outside(index, 1);
    return this._data + index * sizeof<T>();
  }

  private outside(index: i64, count: i64): void {
    throw new RangeError(shape<T>('') + '[' + index.toString() + (count == 1 ? '' : ', +' + count.toString()) + ') is outside its ' + this._length.toString() + ' elements');
  }

  /** The address of `count` elements from `start` on, which must be there. */
  private range(start: i64, count: i64): i64 {
    if (start < 0 || count < 0 || start > this._length - count) this.outside(start, count);
    return this._data + start * sizeof<T>();
  }

  get(index: i64, mode: ReadMode = ReadMode.Get): T {
    if (!dmi.read(this.where(index), sizeof<T>(), scratch, mode, 0)) fail(shape<T>('get'));
    return load<T>(scratch);
  }

  set(index: i64, value: T, mode: WriteMode = WriteMode.Put): void {
    store<T>(scratch, value);
    if (!dmi.write(this.where(index), sizeof<T>(), scratch, mode, 0)) fail(shape<T>('set'));
  }

  view(start: i64, count: i32, mode: ReadMode = ReadMode.Get): StaticArray<T> {
    const copy = new StaticArray<T>(count);
    this.read(start, copy, 0, count, mode);
    return copy;
  }

  /** The buffer's elements from `offset` on, which must be there. */
  private part(buffer: StaticArray<T>, offset: i32, count: i32): usize {
    if (offset < 0 || count < 0 || offset > buffer.length - count)
      throw new RangeError('[' + offset.toString() + ', +' + count.toString() + ') is outside a buffer of ' + buffer.length.toString() + ' elements');
    return changetype<usize>(buffer) + <usize>offset * sizeof<T>();
  }

  read(start: i64, into: StaticArray<T>, offset: i32 = 0, count: i32 = -1, mode: ReadMode = ReadMode.Get): void {
    if (count < 0) count = into.length - offset;
    if (!dmi.read(this.range(start, count), <i64>count * sizeof<T>(), this.part(into, offset, count), mode, 0)) fail(shape<T>('read'));
  }

  write(start: i64, from: StaticArray<T>, offset: i32 = 0, count: i32 = -1, mode: WriteMode = WriteMode.Put): void {
    if (count < 0) count = from.length - offset;
    if (!dmi.write(this.range(start, count), <i64>count * sizeof<T>(), this.part(from, offset, count), mode, 0)) fail(shape<T>('write'));
  }

  readAsync(start: i64, into: StaticArray<T>, offset: i32 = 0, count: i32 = -1, mode: ReadMode = ReadMode.Get): Pending {
    if (count < 0) count = into.length - offset;
    const status = heap.alloc(16);
    if (!dmi.read(this.range(start, count), <i64>count * sizeof<T>(), this.part(into, offset, count), mode, status)) fail(shape<T>('readAsync'));
    return Pending.of(status, changetype<Object>(into));
  }

  writeAsync(start: i64, from: StaticArray<T>, offset: i32 = 0, count: i32 = -1, mode: WriteMode = WriteMode.Put): Pending {
    if (count < 0) count = from.length - offset;
    const status = heap.alloc(16);
    if (!dmi.write(this.range(start, count), <i64>count * sizeof<T>(), this.part(from, offset, count), mode, status)) fail(shape<T>('writeAsync'));
    return Pending.of(status, changetype<Object>(from));
  }

  fill(value: T, start: i64 = 0, end: i64 = -1, mode: WriteMode = WriteMode.Put): void {
    if (end < 0) end = this._length;
    this.range(start, end - start);
    const buffer = new StaticArray<T>(<i32>min<i64>(end - start, PAGE_BYTES / sizeof<T>()));
    buffer.fill(value);
    for (let at = start; at < end; at += buffer.length) this.write(at, buffer, 0, <i32>min<i64>(end - at, buffer.length), mode);
  }

  take(start: i64, count: i64): void {
    const first = this.range(start, count);
    const step = this._pageLength * sizeof<T>();
    const end = first + count * sizeof<T>();
    for (let at = first - (first - this._data) % step; at < end; at += step)
      if (!dmi.write(at, 0, scratch, WriteMode.Exclusive, 0)) fail(shape<T>('take'));
  }

  pin(start: i64, count: i64): void {
    if (!dmi.save(this.range(start, count), count * sizeof<T>(), 1)) fail(shape<T>('pin'));
  }

  unpin(start: i64, count: i64): void {
    if (!dmi.save(this.range(start, count), count * sizeof<T>(), 0)) fail(shape<T>('unpin'));
  }

  watch(index: i64, value: T): T {
    store<T>(scratch, value);
    if (!dmi.watch(this.where(index), sizeof<T>(), scratch, scratch + 16)) fail(shape<T>('watch'));
    return load<T>(scratch, 16);
  }

  add(index: i64, delta: T, mode: WriteMode = WriteMode.Put): T {
    if (isInteger<T>() && sizeof<T>() == 8) {
      if (!dmi.fad(this.where(index), <i64>delta, scratch, mode)) fail(shape<T>('add'));
      return load<T>(scratch);
    }
    // Other types: compare and swap until nobody came in between.
    let before = this.get(index);
    while (!this.compareAndSwap(index, before, <T>(before + delta), mode)) before = this.get(index);
    return before;
  }

  swap(index: i64, value: T, mode: WriteMode = WriteMode.Put): T {
    store<T>(scratch, value);
    if (!dmi.fas(this.where(index), sizeof<T>(), scratch, scratch + 16, mode)) fail(shape<T>('swap'));
    return load<T>(scratch, 16);
  }

  compareAndSwap(index: i64, expected: T, wanted: T, mode: WriteMode = WriteMode.Put): bool {
    store<T>(scratch, expected);
    store<T>(scratch, wanted, 16);
    const answer = dmi.cas(this.where(index), sizeof<T>(), scratch, scratch + 16, mode);
    if (!answer) fail(shape<T>('compareAndSwap'));
    return answer > 1;
  }

  free(): void {
    if (!dmi.unmap(this._data) || !dmi.unmap(this._address)) fail(shape<T>('free'));
    this._length = 0;
  }
}
