import * as dmi from './bindings';
import { fail } from './bindings';

const INIT = 0,
  DESTROY = 1,
  LOCK = 2,
  UNLOCK = 3,
  TRY = 4,
  SIGNAL = 5,
  BROADCAST = 6,
  WAIT = 7;
const BYTES: i64 = 32;

export class Mutex {
  private _address: i64;

  constructor() {
    const address = dmi.map(BYTES, 1);
    if (!address || !dmi.mutex(INIT, address)) fail('new Mutex');
    this._address = address;
  }

  static at(address: i64): Mutex {
    const made = changetype<Mutex>(__new(offsetof<Mutex>(), idof<Mutex>()));
    made._address = address;
    return made;
  }

  get address(): i64 {
    return this._address;
  }

  lock(): void {
    if (!dmi.mutex(LOCK, this._address)) fail('Mutex.lock');
  }

  unlock(): void {
    if (!dmi.mutex(UNLOCK, this._address)) fail('Mutex.unlock');
  }

  tryLock(): bool {
    const answer = dmi.mutex(TRY, this._address);
    if (!answer) fail('Mutex.tryLock');
    return answer > 1;
  }

  free(): void {
    if (!dmi.mutex(DESTROY, this._address) || !dmi.unmap(this._address)) fail('Mutex.free');
  }
}

export class Condition {
  private _address: i64;

  constructor() {
    const address = dmi.map(BYTES, 1);
    if (!address || !dmi.condition(INIT, address, 0)) fail('new Condition');
    this._address = address;
  }

  static at(address: i64): Condition {
    const made = changetype<Condition>(__new(offsetof<Condition>(), idof<Condition>()));
    made._address = address;
    return made;
  }

  get address(): i64 {
    return this._address;
  }

  wait(mutex: Mutex): void {
    if (!dmi.condition(WAIT, this._address, mutex.address)) fail('Condition.wait');
  }

  signal(): void {
    if (!dmi.condition(SIGNAL, this._address, 0)) fail('Condition.signal');
  }

  broadcast(): void {
    if (!dmi.condition(BROADCAST, this._address, 0)) fail('Condition.broadcast');
  }

  free(): void {
    if (!dmi.condition(DESTROY, this._address, 0) || !dmi.unmap(this._address)) fail('Condition.free');
  }
}
