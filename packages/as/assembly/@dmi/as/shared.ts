import * as dmi from './bindings';
import { fail } from './bindings';
import { ReadMode, WriteMode } from './global-array';

export class Shared<T> {
  private _address: i64;

  constructor(value: T) {
    const address = dmi.map(max<i64>(1, offsetof<T>()), 1);
    if (!address) fail('new Shared<' + nameof<T>() + '>');
    this._address = address;
    this.set(value);
  }

  static at<U>(address: i64): Shared<U> {
    const shared = changetype<Shared<U>>(__new(offsetof<Shared<U>>(), idof<Shared<U>>()));
    shared._address = address;
    return shared;
  }

  get address(): i64 {
    return this._address;
  }

  get(mode: ReadMode = ReadMode.Get): T {
    const value = __new(offsetof<T>(), idof<T>());
    if (!dmi.read(this._address, max<i64>(1, offsetof<T>()), value, mode, 0)) fail('Shared<' + nameof<T>() + '>.get');
    return changetype<T>(value);
  }

  set(value: T, mode: WriteMode = WriteMode.Put): void {
    // @ts-ignore: of the runtime (rt/index-dmi.ts)
    if (__references(changetype<usize>(value)))
      throw new TypeError(
        'Shared<' +
          nameof<T>() +
          '>: a field refers to an object, which other threads cannot see: use numbers, and `.address` of shared objects',
      );
    if (!dmi.write(this._address, max<i64>(1, offsetof<T>()), changetype<usize>(value), mode, 0))
      fail('Shared<' + nameof<T>() + '>.set');
  }

  free(): void {
    if (!dmi.unmap(this._address)) fail('Shared<' + nameof<T>() + '>.free');
  }
}
