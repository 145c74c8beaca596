// Everything that the C part of the runtime (runtime/bindings.c) does for the library. Addresses into linear memory are usize; a call
// that can fail gives 0 when it has, and `failure()` tells why.
// @ts-nocheck

@external('dmi', 'map') export declare function map(pageSize: i64, pages: i64): i64;
@external('dmi', 'unmap') export declare function unmap(address: i64): i32;
@external('dmi', 'read') export declare function read(address: i64, size: i64, to: usize, mode: i32, status: usize): i32;
@external('dmi', 'write') export declare function write(address: i64, size: i64, from: usize, mode: i32, status: usize): i32;
@external('dmi', 'watch') export declare function watch(address: i64, size: i64, from: usize, to: usize): i32;
@external('dmi', 'save') export declare function save(address: i64, size: i64, pin: i32): i32;
@external('dmi', 'fad') export declare function fad(address: i64, add: i64, to: usize, mode: i32): i32;
@external('dmi', 'fas') export declare function fas(address: i64, size: i64, from: usize, to: usize, mode: i32): i32;
@external('dmi', 'cas') export declare function cas(address: i64, size: i64, expected: usize, wanted: usize, mode: i32): i32;
@external('dmi', 'wait') export declare function wait(status: usize): i32;
@external('dmi', 'check') export declare function check(status: usize): i32;

@external('dmi', 'group_init') export declare function groupInit(group: usize, addresses: usize, offsets: usize, sizes: usize, n: i32): i32;
@external('dmi', 'group_read') export declare function groupRead(group: usize, to: usize, mode: i32, status: usize): i32;
@external('dmi', 'group_write') export declare function groupWrite(group: usize, from: usize, mode: i32, status: usize): i32;
@external('dmi', 'group_destroy') export declare function groupDestroy(group: usize): i32;

@external('dmi', 'rwset_init') export declare function rwsetInit(address: i64, elements: i64, elementSize: i64, domains: i32): i32;
@external('dmi', 'rwset_decompose') export declare function rwsetDecompose(address: i64, me: i32, elements: usize, n: i32): i32;
@external('dmi', 'rwset_destroy') export declare function rwsetDestroy(address: i64): i32;
@external('dmi', 'exchange_init') export declare function exchangeInit(local: usize, address: i64, me: i32, elements: usize, n: i32): i32;
@external('dmi', 'exchange_write') export declare function exchangeWrite(local: usize, from: usize, status: usize): i32;
@external('dmi', 'exchange_read') export declare function exchangeRead(local: usize, to: usize, status: usize): i32;
@external('dmi', 'exchange_destroy') export declare function exchangeDestroy(local: usize): i32;

@external('dmi', 'mutex') export declare function mutex(what: i32, address: i64): i32;
@external('dmi', 'condition') export declare function condition(what: i32, address: i64, mutex: i64): i32;
@external('dmi', 'barrier_init') export declare function barrierInit(address: i64): i32;
@external('dmi', 'barrier_destroy') export declare function barrierDestroy(address: i64): i32;
@external('dmi', 'barrier_open') export declare function barrierOpen(local: usize, address: i64): i32;
@external('dmi', 'barrier_sync') export declare function barrierSync(local: usize, n: i32): i32;
@external('dmi', 'barrier_allreduce') export declare function barrierAllreduce(local: usize, n: i32, mine: usize, all: usize, op: i32, type: i32): i32;

@external('dmi', 'thread_create') export declare function threadCreate(node: i32, fn: u32, arg: i64, stack: i64): i64;
@external('dmi', 'thread_join') export declare function threadJoin(thread: i64, result: usize): i32;
@external('dmi', 'thread_detach') export declare function threadDetach(thread: i64): i32;
@external('dmi', 'thread_self') export declare function threadSelf(): i64;
@external('dmi', 'thread_migrate') export declare function threadMigrate(thread: i64, node: i32): i32;
@external('dmi', 'thread_suspend') export declare function threadSuspend(to: usize): i32;
@external('dmi', 'thread_wake') export declare function threadWake(thread: i64, from: usize, size: i64): i32;
@external('dmi', 'yield_now') export declare function yieldNow(): i32;
@external('dmi', 'scheduler_init') export declare function schedulerInit(address: i64): i32;
@external('dmi', 'scheduler_destroy') export declare function schedulerDestroy(address: i64): i32;
@external('dmi', 'scheduler_create') export declare function schedulerCreate(address: i64, fn: u32, arg: i64): i32;
@external('dmi', 'scheduler_join') export declare function schedulerJoin(address: i64, id: i32, result: usize): i32;
@external('dmi', 'scheduler_detach') export declare function schedulerDetach(address: i64, id: i32): i32;

@external('dmi', 'rescale') export declare function rescale(arg: i64, nodes: i32, threads: i32): i32;
@external('dmi', 'check_rescale') export declare function checkRescale(): i32;
@external('dmi', 'rank') export declare function rank(): i32;
@external('dmi', 'nodes') export declare function nodes(to: usize, capacity: i32): i32;
@external('dmi', 'threads') export declare function threads(): i32;

@external('dmi', 'argument') export declare function argument(i: i32): usize;
@external('dmi', 'environment') export declare function environment(name: usize, length: usize): usize;
@external('dmi', 'text') export declare function text(to: usize): void;
@external('dmi', 'exit') export declare function exit(status: i32): void;
@external('dmi', 'sleep') export declare function sleep(seconds: f64): void;
@external('dmi', 'file_size') export declare function fileSize(path: usize, length: usize): i64;
@external('dmi', 'file_read') export declare function fileRead(path: usize, length: usize, to: usize, size: usize): i64;
@external('dmi', 'file_write') export declare function fileWrite(path: usize, length: usize, from: usize, size: usize, append: i32): i32;
@external('dmi', 'failure') export declare function failureText(): usize;

/** Some bytes for results of calls, used at once. */
// @ts-expect-error: decorator
@lazy export const scratch = memory.data(256, 16);

/** A string whose bytes wait in the C part: `length` as the call gave it. */
export function takeText(length: usize): string {
  const bytes = new ArrayBuffer(<i32>length);
  text(changetype<usize>(bytes));
  return String.UTF8.decode(bytes);
}

/** Throws what the last call that gave 0 has to say. */
export function fail(what: string): void {
  throw new Error(what + ': ' + takeText(failureText()));
}
