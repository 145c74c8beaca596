import * as dmi from './bindings';
import { fail } from './bindings';
import { GlobalArray, Pending, ReadMode, WriteMode } from './global-array';

export class Group<T> {
  /** A DMI_local_group_t. */
  private group: usize;
  private count: i32;

  constructor(array: GlobalArray<T>, indices: StaticArray<i64>) {
    const n = indices.length;
    const addresses = new StaticArray<i64>(n),
      offsets = new StaticArray<i64>(n),
      sizes = new StaticArray<i64>(n);
    for (let i = 0; i < n; i++) {
      // @ts-expect-error: private
      addresses[i] = array.where(indices[i]);
      offsets[i] = <i64>i * sizeof<T>();
      sizes[i] = sizeof<T>();
    }
    this.group = heap.alloc(72);
    this.count = n;
    if (
      !dmi.groupInit(this.group, changetype<usize>(addresses), changetype<usize>(offsets), changetype<usize>(sizes), n)
    )
      fail('new Group');
  }

  get length(): i32 {
    return this.count;
  }

  private buffer(values: StaticArray<T>): usize {
    if (values.length < this.count)
      throw new RangeError(
        'a Group of ' +
          this.count.toString() +
          ' elements needs a buffer as long, this one has ' +
          values.length.toString(),
      );
    return changetype<usize>(values);
  }

  read(into: StaticArray<T>, mode: ReadMode = ReadMode.Get): void {
    if (!dmi.groupRead(this.group, this.buffer(into), mode, 0)) fail('Group.read');
  }

  write(from: StaticArray<T>, mode: WriteMode = WriteMode.Put): void {
    if (!dmi.groupWrite(this.group, this.buffer(from), mode, 0)) fail('Group.write');
  }

  readAsync(into: StaticArray<T>, mode: ReadMode = ReadMode.Get): Pending {
    const status = heap.alloc(16);
    if (!dmi.groupRead(this.group, this.buffer(into), mode, status)) fail('Group.readAsync');
    return Pending.of(status, changetype<Object>(into));
  }

  writeAsync(from: StaticArray<T>, mode: WriteMode = WriteMode.Put): Pending {
    const status = heap.alloc(16);
    if (!dmi.groupWrite(this.group, this.buffer(from), mode, status)) fail('Group.writeAsync');
    return Pending.of(status, changetype<Object>(from));
  }

  free(): void {
    if (!dmi.groupDestroy(this.group)) fail('Group.free');
    heap.free(this.group);
    this.count = 0;
  }
}
