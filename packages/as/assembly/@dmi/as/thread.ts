import * as dmi from './bindings';
import { fail, scratch } from './bindings';

export function yieldNow(): void {
  if (!dmi.yieldNow()) fail('yieldNow');
}

export class Thread {
  /** @param name a DMI_thread_t */
  private constructor(private name: i64) {}

  static spawn(fn: (arg: i64) => i64, arg: i64 = 0, node: i32 = -1, stackSize: i64 = 0): Thread {
    return Thread.created(dmi.threadCreate(node, fn.index + 1, arg, stackSize));
  }

  static start(arg: i64 = 0, node: i32 = -1, stackSize: i64 = 0): Thread {
    return Thread.created(dmi.threadCreate(node, 0, arg, stackSize));
  }

  private static created(name: i64): Thread {
    if (name == -1) fail('a thread cannot be started');
    return new Thread(name);
  }

  static self(): Thread {
    return new Thread(dmi.threadSelf());
  }

  static suspend(): i64 {
    store<i64>(scratch, 0);
    if (!dmi.threadSuspend(scratch)) fail('Thread.suspend');
    return load<i64>(scratch);
  }

  static at(id: i64): Thread {
    return new Thread(id);
  }

  get id(): i64 {
    return this.name;
  }

  join(): i64 {
    if (!dmi.threadJoin(this.name, scratch)) fail('Thread.join');
    return load<i64>(scratch);
  }

  detach(): void {
    if (!dmi.threadDetach(this.name)) fail('Thread.detach');
  }

  wake(message: i64 = 0): void {
    store<i64>(scratch, message);
    if (!dmi.threadWake(this.name, scratch, 8)) fail('Thread.wake');
  }

  moveTo(node: i32): bool {
    const answer = dmi.threadMigrate(this.name, node);
    if (!answer) fail('Thread.moveTo');
    return answer > 1;
  }

  toString(): string {
    return (<i32>this.name).toString() + '.' + (<i32>(this.name >> 32)).toString();
  }
}

export class Scheduler {
  private _address: i64;

  constructor() {
    const address = dmi.map(88, 1);
    if (!address || !dmi.schedulerInit(address)) fail('new Scheduler');
    this._address = address;
  }

  static at(address: i64): Scheduler {
    const scheduler = changetype<Scheduler>(__new(offsetof<Scheduler>(), idof<Scheduler>()));
    scheduler._address = address;
    return scheduler;
  }

  get address(): i64 {
    return this._address;
  }

  spawn(fn: (arg: i64) => i64, arg: i64 = 0): i32 {
    const id = dmi.schedulerCreate(this._address, fn.index + 1, arg);
    if (id < 0) fail('Scheduler.spawn');
    return id;
  }

  join(id: i32): i64 {
    if (!dmi.schedulerJoin(this._address, id, scratch)) fail('Scheduler.join');
    return load<i64>(scratch);
  }

  detach(id: i32): void {
    if (!dmi.schedulerDetach(this._address, id)) fail('Scheduler.detach');
  }

  free(): void {
    if (!dmi.schedulerDestroy(this._address) || !dmi.unmap(this._address)) fail('Scheduler.free');
  }
}
