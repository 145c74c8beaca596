import * as dmi from './bindings';
import { fail } from './bindings';
import { Pending } from './global-array';

export class ReadWriteSet<T> {
  private _address: i64;

  constructor(elements: i64, domains: i32) {
    const address = dmi.map(40, 1);
    if (!address || !dmi.rwsetInit(address, elements, sizeof<T>(), domains)) fail('new ReadWriteSet');
    this._address = address;
  }

  static at<U>(address: i64): ReadWriteSet<U> {
    const set = changetype<ReadWriteSet<U>>(__new(offsetof<ReadWriteSet<U>>(), idof<ReadWriteSet<U>>()));
    set._address = address;
    return set;
  }

  get address(): i64 {
    return this._address;
  }

  join(me: i32, writes: StaticArray<i64>, reads: StaticArray<i64>): Exchange<T> {
    if (!dmi.rwsetDecompose(this._address, me, changetype<usize>(writes), writes.length)) fail('ReadWriteSet.join');
    const local = heap.alloc(88);
    if (!dmi.exchangeInit(local, this._address, me, changetype<usize>(reads), reads.length)) fail('ReadWriteSet.join');
    return new Exchange<T>(local, writes.length, reads.length);
  }

  free(): void {
    if (!dmi.rwsetDestroy(this._address) || !dmi.unmap(this._address)) fail('ReadWriteSet.free');
  }
}

export class Exchange<T> {
  /** @param local a DMI_local_rwset_t */
  constructor(
    private local: usize,
    private _writes: i32,
    private _reads: i32,
  ) {}

  get writes(): i32 {
    return this._writes;
  }

  get reads(): i32 {
    return this._reads;
  }

  private check(values: StaticArray<T>, n: i32, what: string): usize {
    if (values.length < n)
      throw new RangeError(
        'this domain ' + what + ' ' + n.toString() + ' elements, the buffer has ' + values.length.toString(),
      );
    return changetype<usize>(values);
  }

  write(from: StaticArray<T>): void {
    if (!dmi.exchangeWrite(this.local, this.check(from, this._writes, 'writes'), 0)) fail('Exchange.write');
  }

  read(into: StaticArray<T>): void {
    if (!dmi.exchangeRead(this.local, this.check(into, this._reads, 'reads'), 0)) fail('Exchange.read');
  }

  writeAsync(from: StaticArray<T>): Pending {
    const status = heap.alloc(16);
    if (!dmi.exchangeWrite(this.local, this.check(from, this._writes, 'writes'), status)) fail('Exchange.writeAsync');
    return Pending.of(status, changetype<Object>(from));
  }

  readAsync(into: StaticArray<T>): Pending {
    const status = heap.alloc(16);
    if (!dmi.exchangeRead(this.local, this.check(into, this._reads, 'reads'), status)) fail('Exchange.readAsync');
    return Pending.of(status, changetype<Object>(into));
  }

  free(): void {
    if (!dmi.exchangeDestroy(this.local)) fail('Exchange.free');
    heap.free(this.local);
  }
}
