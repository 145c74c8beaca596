/// <reference path="./language.d.ts" />

/**
 * DMI for programs written in TypeScript (the AssemblyScript dialect): threads that are spread over machines and moved live, and the
 * memory they share. A program exports `main`, and if it uses them `thread` and `scaleunit`:
 *
 *     export function main(args: string[]): i32              // the first thread; its value is the exit status
 *     export function thread(arg: i64): i64                  // what Thread.start starts; its value is what join gives
 *     export function scaleunit(rank: i32, n: i32, arg: i64): i32   // what rescale starts; 0 from rank 0 ends the set
 *
 * Every thread is a program of its own: its module variables, objects and arrays are private, and move with it. What threads share is
 * in global memory, and is passed by `address`. A call that fails throws; what is thrown ends the job, with file, line and stack.
 */
// ---- global memory ----------------------------------------------------------------------------------------------------

/** How a read treats caches. */
export enum ReadMode {
  /** Fetch the bytes, cache nothing. */
  Get,
  /** Keep the page here until somebody writes it. */
  Invalidate,
  /** Keep the page here, and have it kept current. */
  Update,
}
/** How a write treats ownership. */
export enum WriteMode {
  /** Become the owner of the page, then write here. */
  Exclusive,
  /** Ship the bytes to the owner. */
  Put,
}

/** An access that has been started. Its buffer must not be touched until it is done. */
export class Pending {
  private constructor();
  /** Is it done? Never blocks. @throws if the access failed */
  done(): bool;
  /** Blocks until it is; other threads run meanwhile. @throws if the access failed */
  wait(): void;
}

/**
 * An array that all threads on all nodes see. `T` is a number type or bool. Cut into pages, which are what is cached, owned and
 * moved: small pages for values that change one by one, large ones for bulk data. All zero at first. Sequentially consistent per
 * page. Indices and lengths count elements.
 */
export class GlobalArray<T> {
  /** @param pageLength elements per page; 0: 64 KiB of them, or all if that is less. @throws if the nodes have no room for it */
  constructor(length: i64, pageLength?: i64);
  /** The array whose `address` this is, as another thread got it. @throws if there is none of elements of this size */
  static at<T>(address: i64): GlobalArray<T>;
  /** An array with these values, in one page. */
  static of<T>(values: StaticArray<T>): GlobalArray<T>;
  /** Names the array in every thread. */
  readonly address: i64;
  readonly length: i64;
  readonly pageLength: i64;
  /** One element: a message to its owner, unless it is here or cached. @throws RangeError */
  get(index: i64, mode?: ReadMode): T;
  /** @throws RangeError */
  set(index: i64, value: T, mode?: WriteMode): void;
  /** A copy of `count` elements from `start` on, to be used at full speed; `write` publishes it. */
  view(start: i64, count: i32, mode?: ReadMode): StaticArray<T>;
  /** Elements from `start` on into `into[offset …]`; `count` -1: as many as fit. One message per owner. @throws RangeError */
  read(start: i64, into: StaticArray<T>, offset?: i32, count?: i32, mode?: ReadMode): void;
  /** `from[offset …]` to the elements from `start` on. */
  write(start: i64, from: StaticArray<T>, offset?: i32, count?: i32, mode?: WriteMode): void;
  /** Starts `read` and returns. */
  readAsync(start: i64, into: StaticArray<T>, offset?: i32, count?: i32, mode?: ReadMode): Pending;
  /** Starts `write` and returns. */
  writeAsync(start: i64, from: StaticArray<T>, offset?: i32, count?: i32, mode?: WriteMode): Pending;
  /** Sets [start, end); `end` -1: to the last. */
  fill(value: T, start?: i64, end?: i64, mode?: WriteMode): void;
  /** Makes this node the owner of the pages of `count` elements, without changing them. */
  take(start: i64, count: i64): void;
  /**
   * Keeps the pages of `count` elements on this node while they are there, even if memory gets short. Fetches nothing: `take` or read
   * them before. The pin stays with the node when the thread moves. @throws RangeError
   */
  pin(start: i64, count: i64): void;
  /** Ends the pin, on the node it was made on. @throws RangeError */
  unpin(start: i64, count: i64): void;
  /** Blocks while the element is `value`; gives what it became. */
  watch(index: i64, value: T): T;
  /** Adds, atomically; gives what it was. One message for i64 and u64, compare-and-swap for other types. */
  add(index: i64, delta: T, mode?: WriteMode): T;
  /** Sets, atomically; gives what it was. */
  swap(index: i64, value: T, mode?: WriteMode): T;
  /** Sets to `wanted` if it is `expected`, atomically; tells whether it was. */
  compareAndSwap(index: i64, expected: T, wanted: T, mode?: WriteMode): bool;
  /** Gives the memory back; no thread may use the array after that. */
  free(): void;
}

/** One number that all threads see. */
export class Atomic<T> {
  constructor(value: T);
  static at<T>(address: i64): Atomic<T>;
  readonly address: i64;
  load(mode?: ReadMode): T;
  store(value: T, mode?: WriteMode): void;
  /** Gives what it was. */
  add(delta: T, mode?: WriteMode): T;
  swap(value: T, mode?: WriteMode): T;
  compareAndSwap(expected: T, wanted: T, mode?: WriteMode): bool;
  /** Blocks while it is `value`; gives what it became. */
  waitWhile(value: T): T;
  free(): void;
}

/**
 * The fields of an object, where all threads can read them: what a job consists of, say. Fields are numbers; other shared things are
 * in it by their `address`. @throws TypeError when a field refers to an object
 */
export class Shared<T> {
  constructor(value: T);
  static at<T>(address: i64): Shared<T>;
  readonly address: i64;
  /** A copy of the object. */
  get(mode?: ReadMode): T;
  set(value: T, mode?: WriteMode): void;
  free(): void;
}

/** Single elements of a global array in one call: one message per owner, not per element. */
export class Group<T> {
  constructor(array: GlobalArray<T>, indices: StaticArray<i64>);
  readonly length: i32;
  /** `into[i]` becomes element `indices[i]`. @throws RangeError if the buffer is shorter than the group */
  read(into: StaticArray<T>, mode?: ReadMode): void;
  write(from: StaticArray<T>, mode?: WriteMode): void;
  readAsync(into: StaticArray<T>, mode?: ReadMode): Pending;
  writeAsync(from: StaticArray<T>, mode?: WriteMode): Pending;
  free(): void;
}

/**
 * Values that are exchanged again and again between the domains of an irregular problem: each element is written by one domain and
 * read by any, and is named by its number, 0 to elements - 1.
 */
export class ReadWriteSet<T> {
  constructor(elements: i64, domains: i32);
  static at<T>(address: i64): ReadWriteSet<T>;
  readonly address: i64;
  /** Domain `me` (0 to domains - 1) says what it writes and reads; returns when those it reads from have done so as well. */
  join(me: i32, writes: StaticArray<i64>, reads: StaticArray<i64>): Exchange<T>;
  free(): void;
}

/** One domain's part of a read-write-set. Between a write and the reads of it the domains must meet (barrier, allreduce). */
export class Exchange<T> {
  private constructor();
  /** How many elements this domain writes, and reads. */
  readonly writes: i32;
  readonly reads: i32;
  /** Publishes the values of `writes`, in that order. */
  write(from: StaticArray<T>): void;
  /** Gathers the values of `reads`, in that order. */
  read(into: StaticArray<T>): void;
  writeAsync(from: StaticArray<T>): Pending;
  readAsync(into: StaticArray<T>): Pending;
  free(): void;
}

// ---- waiting for each other: a thread that waits does not use its core ------------------------------------------------

export class Mutex {
  constructor();
  static at(address: i64): Mutex;
  readonly address: i64;
  lock(): void;
  /** @throws if this thread does not hold it */
  unlock(): void;
  /** Tells whether it has it now. */
  tryLock(): bool;
  free(): void;
}

export class Condition {
  constructor();
  static at(address: i64): Condition;
  readonly address: i64;
  /** Lets go of the mutex, waits for a signal, takes the mutex again. */
  wait(mutex: Mutex): void;
  signal(): void;
  broadcast(): void;
  free(): void;
}

export enum Op {
  Max,
  Min,
  Sum,
  Product,
}

/** Where `threads` threads meet. */
export class Barrier {
  constructor(threads: i32);
  static at(address: i64): Barrier;
  readonly address: i64;
  readonly threads: i32;
  /** Returns when all have called it. */
  sync(): void;
  /** Combines the values of all threads; the result has the same bits on each. `T`: i8, i16, i32, i64, f32, f64. */
  allreduce<T>(value: T, op: Op): T;
  free(): void;
}

// ---- threads ----------------------------------------------------------------------------------------------------------

export class Thread {
  private constructor();
  /**
   * Starts `fn(arg)`, a function of the module (not one inside of another), in a thread of its own.
   * @param node where; -1: wherever there is room
   * @param stackSize bytes; 0: 8 MiB
   */
  static spawn(fn: (arg: i64) => i64, arg?: i64, node?: i32, stackSize?: i64): Thread;
  /** Starts the exported `thread(arg)`. */
  static start(arg?: i64, node?: i32, stackSize?: i64): Thread;
  /** This thread. */
  static self(): Thread;
  /** The thread whose `id` this is. */
  static at(id: i64): Thread;
  /** Waits for the first `wake` that comes after this; gives its message. */
  static suspend(): i64;
  /** The same wherever the thread is. */
  readonly id: i64;
  /** Waits for its end; gives what it returned. Once per thread. */
  join(): i64;
  /** Nobody will join it. */
  detach(): void;
  wake(message?: i64): void;
  /** Moves it, a thread of this node, to another; tells whether it has moved. */
  moveTo(node: i32): bool;
  toString(): string;
}

/** Starts threads wherever there is room. */
export class Scheduler {
  constructor();
  static at(address: i64): Scheduler;
  readonly address: i64;
  /** Gives a number for `join`. */
  spawn(fn: (arg: i64) => i64, arg?: i64): i32;
  join(id: i32): i64;
  detach(id: i32): void;
  free(): void;
}

/** Lets others run; a point where a move is cheap. (A thread can be moved anywhere.) */
export function yieldNow(): void;

// ---- nodes ------------------------------------------------------------------------------------------------------------

export enum NodeState {
  Open,
  Opened,
  Close,
  Closed,
}
export class Node {
  private constructor();
  readonly id: i32;
  readonly state: NodeState;
  readonly cores: i32;
  /** Bytes of global memory it offers. */
  readonly memory: i64;
  readonly hostname: string;
}
/** The node this thread is on now. */
export function rank(): i32;
/** All nodes, in ascending id. */
export function nodes(): Node[];
/**
 * Waits for `initialNodes` nodes and starts the exported `scaleunit(rank, n, arg)` on each, `threadsPerNode` times (0: once per core);
 * again, with the nodes that are there then, whenever the set is to be re-formed. Returns when rank 0 gives 0.
 */
export function rescale(arg: i64, initialNodes?: i32, threadsPerNode?: i32): void;
/** Called by all threads of the set together: true on all when nodes have come or want to go: save, and return non-zero. */
export function checkRescale(): bool;

// ---- the program and the world ------------------------------------------------------------------------------------------

/** What `dmi run -n` says. */
export function threads(): i32;
/** The program's arguments, as `main` gets them; empty in other threads. */
export function programArguments(): string[];
/** A variable of the environment of `dmi run`. */
export function environment(name: string): string | null;
/** Ends this thread with a status. */
export function exit(status: i32): void;
export function sleep(milliseconds: f64): void;
/** A file's text (UTF-8), from where `dmi run` was started. @throws if it cannot be read */
export function readFile(path: string): string;
export function readBytes(path: string): Uint8Array;
export function writeFile(path: string, text: string): void;
export function writeBytes(path: string, bytes: Uint8Array): void;
export function appendFile(path: string, text: string): void;
export function fileExists(path: string): bool;
