// The language of programs for DMI, as far as it differs from TypeScript's own: number types that say what they are, and a few
// built-in functions. With it the source type-checks with plain `tsc`, and editors need no plug-in. To `tsc` all number types are
// `number`; the compiler (`dmi build`) knows the difference, and says where a conversion has to be written.

interface IntegerType<T> {
  /** The conversion: drops what does not fit. */
  (value: number | boolean): T;
  readonly MIN_VALUE: T;
  readonly MAX_VALUE: T;
  parse(text: string, radix?: number): T;
}
interface FloatType<T> {
  (value: number | boolean): T;
  readonly EPSILON: T;
  readonly MIN_VALUE: T;
  readonly MAX_VALUE: T;
  parse(text: string): T;
  isNaN(value: T): boolean;
  isFinite(value: T): boolean;
}

/** An 8-bit signed integer. */
declare type i8 = number;
declare const i8: IntegerType<i8>;
/** A 16-bit signed integer. */
declare type i16 = number;
declare const i16: IntegerType<i16>;
/** A 32-bit signed integer. */
declare type i32 = number;
declare const i32: IntegerType<i32>;
/** A 64-bit signed integer. */
declare type i64 = number;
declare const i64: IntegerType<i64>;
/** As wide as an address: 32 bits. */
declare type isize = number;
declare const isize: IntegerType<isize>;
/** An 8-bit unsigned integer. */
declare type u8 = number;
declare const u8: IntegerType<u8>;
/** A 16-bit unsigned integer. */
declare type u16 = number;
declare const u16: IntegerType<u16>;
/** A 32-bit unsigned integer. */
declare type u32 = number;
declare const u32: IntegerType<u32>;
/** A 64-bit unsigned integer. */
declare type u64 = number;
declare const u64: IntegerType<u64>;
/** As wide as an address: 32 bits. */
declare type usize = number;
declare const usize: IntegerType<usize>;
/** A 32-bit float. */
declare type f32 = number;
declare const f32: FloatType<f32>;
/** A 64-bit float: what `number` is. */
declare type f64 = number;
declare const f64: FloatType<f64>;
declare type bool = boolean;

/** An array of fixed length whose elements lie in one piece: the fastest there is, and what global arrays are read into. */
declare class StaticArray<T> {
  [index: number]: T;
  constructor(length: i32);
  static fromArray<T>(source: T[]): StaticArray<T>;
  readonly length: i32;
  at(index: i32): T;
  fill(value: T, start?: i32, end?: i32): this;
  includes(value: T, from?: i32): bool;
  indexOf(value: T, from?: i32): i32;
  join(separator?: string): string;
  slice<A = T[]>(start?: i32, end?: i32): A;
  sort(compare?: (a: T, b: T) => i32): this;
  reverse(): this;
}

/** @throws if there is no such key, other than JavaScript's: ask `has` first. */
declare class Map<K, V> {
  constructor();
  readonly size: i32;
  has(key: K): bool;
  get(key: K): V;
  set(key: K, value: V): this;
  delete(key: K): bool;
  clear(): void;
  keys(): K[];
  values(): V[];
}
declare class Set<T> {
  constructor();
  readonly size: i32;
  has(value: T): bool;
  add(value: T): this;
  delete(value: T): bool;
  clear(): void;
  values(): T[];
}

interface StringConstructor {
  readonly UTF8: {
    byteLength(text: string): i32;
    encode(text: string): ArrayBuffer;
    decode(bytes: ArrayBuffer): string;
  };
}

/** Array accesses in `expression` are not checked: an index out of bounds is then undefined behaviour, as in C. */
declare function unchecked<T>(expression: T): T;
/** Ends the job with `message` if `condition` is false or null. */
declare function assert<T>(condition: T, message?: string): T;
/** Bytes of a number type, bytes of a class's fields. */
declare function sizeof<T>(): i32;
declare function offsetof<T>(field?: string): i32;
declare function nameof<T>(value?: T): string;
/** The bits of `value` as another type. */
declare function changetype<T>(value: unknown): T;
declare function reinterpret<T>(value: number): T;
declare function select<T>(ifTrue: T, ifFalse: T, condition: bool): T;

/** Decorators: the body goes where the call is; a module variable is set on first use; operators of a class. */
declare function inline(...target: unknown[]): void;
declare function lazy(...target: unknown[]): void;
declare function final(...target: unknown[]): void;
declare function operator(token: string): (...target: unknown[]) => void;

/** Lines of text: `log`, `info` and `debug` on stdout, the others on stderr. */
declare namespace console {
  function log(text: string): void;
  function info(text: string): void;
  function debug(text: string): void;
  function warn(text: string): void;
  function error(text: string): void;
  function assert(condition: bool, text: string): void;
}
declare namespace performance {
  /** Milliseconds, since some moment in the past. */
  function now(): f64;
}
