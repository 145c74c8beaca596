import * as dmi from './bindings';
import { fail, scratch } from './bindings';
import { ReadMode, WriteMode } from './global-array';

export enum Op {
  Max = 20,
  Min = 21,
  Sum = 22,
  Product = 23,
}

/** A DMI_barrier_t, and behind it the number of threads. */
const COUNT: i64 = 32,
  BYTES: i64 = 40;

export class Barrier {
  private _address: i64;
  private _threads: i32;
  /** This thread's DMI_local_barrier_t. */
  private local: usize;

  constructor(threads: i32) {
    if (threads < 1) throw new RangeError('new Barrier(' + threads.toString() + '): at least one thread takes part');
    const address = dmi.map(BYTES, 1);
    if (!address || !dmi.barrierInit(address)) fail('new Barrier');
    store<i64>(scratch, threads);
    if (!dmi.write(address + COUNT, 8, scratch, WriteMode.Put, 0)) fail('new Barrier');
    this.open(address, threads);
  }

  static at(address: i64): Barrier {
    if (!dmi.read(address + COUNT, 8, scratch, ReadMode.Get, 0)) fail('Barrier.at(' + address.toString() + ')');
    const barrier = changetype<Barrier>(__new(offsetof<Barrier>(), idof<Barrier>()));
    barrier.open(address, <i32>load<i64>(scratch));
    return barrier;
  }

  private open(address: i64, threads: i32): void {
    this._address = address;
    this._threads = threads;
    this.local = heap.alloc(32);
    if (!dmi.barrierOpen(this.local, address)) fail('Barrier');
  }

  get address(): i64 {
    return this._address;
  }

  get threads(): i32 {
    return this._threads;
  }

  sync(): void {
    if (!dmi.barrierSync(this.local, this._threads)) fail('Barrier.sync');
  }

  allreduce<T>(value: T, op: Op): T {
    store<T>(scratch, value);
    if (!dmi.barrierAllreduce(this.local, this._threads, scratch, scratch + 16, op, type<T>()))
      fail('Barrier.allreduce');
    return load<T>(scratch, 16);
  }

  free(): void {
    if (!dmi.barrierDestroy(this._address) || !dmi.unmap(this._address)) fail('Barrier.free');
  }
}

/** DMI_TYPE_* of a number type. */
function type<T>(): i32 {
  if (isFloat<T>()) return sizeof<T>() == 4 ? 25 : 26;
  if (isInteger<T>() && isSigned<T>()) {
    if (sizeof<T>() == 1) return 20;
    if (sizeof<T>() == 2) return 21;
    return sizeof<T>() == 4 ? 22 : 24;
  }
  ERROR('allreduce combines i8, i16, i32, i64, f32 or f64');
  return 0;
}
