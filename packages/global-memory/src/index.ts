export { GlobalArray, type NumericArray, type NumericArrayType } from './array.js';
export { type AttachOptions, attach, join, type ViewSource } from './attach.js';
export { GlobalMemoryError, type MemoryErrorCode } from './errors.js';
export {
  GlobalMemory,
  type GlobalMemoryOptions,
  type MemberInfo,
  type MemoryStats,
  type Piece,
  type Reduction,
  type ViewChange,
} from './global-memory.js';
export type { WaitOptions } from './member.js';
export { Held, Mutex } from './mutex.js';
export type { ReadMode, WriteMode } from './operation.js';
