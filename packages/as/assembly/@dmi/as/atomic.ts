import { GlobalArray, ReadMode, WriteMode } from './global-array';

export class Atomic<T> {
  private cell: GlobalArray<T>;

  constructor(value: T) {
    this.cell = new GlobalArray<T>(1, 1);
    if (value != <T>0) this.cell.set(0, value);
  }

  static at<U>(address: i64): Atomic<U> {
    const atomic = changetype<Atomic<U>>(__new(offsetof<Atomic<U>>(), idof<Atomic<U>>()));
    atomic.cell = GlobalArray.at<U>(address);
    return atomic;
  }

  get address(): i64 {
    return this.cell.address;
  }

  load(mode: ReadMode = ReadMode.Get): T {
    return this.cell.get(0, mode);
  }

  store(value: T, mode: WriteMode = WriteMode.Put): void {
    this.cell.set(0, value, mode);
  }

  add(delta: T, mode: WriteMode = WriteMode.Put): T {
    return this.cell.add(0, delta, mode);
  }

  swap(value: T, mode: WriteMode = WriteMode.Put): T {
    return this.cell.swap(0, value, mode);
  }

  compareAndSwap(expected: T, wanted: T, mode: WriteMode = WriteMode.Put): bool {
    return this.cell.compareAndSwap(0, expected, wanted, mode);
  }

  waitWhile(value: T): T {
    return this.cell.watch(0, value);
  }

  free(): void {
    this.cell.free();
  }
}
