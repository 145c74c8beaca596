/**
 * The whole boundary to the native addon (native/addon). Nothing else in this package knows of it.
 *
 * Values are checked before they come here: what does not fit is a TypeError, meaning a bug in this package.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { GlobalMemoryError } from './errors.js';

export interface NativeConfig {
  job: string;
  key: Uint8Array;
  build: string;
  member: number;
  state: 'active' | 'lite';
  bindHost: string;
  /** 0: any */
  bindPort: number;
  /** bytes */
  pool: number;
  /** seconds */
  peerTimeout: number;
}

export interface NativeMemberInfo {
  id: number;
  state: 'active' | 'draining' | 'lite';
  host: string;
  port: number;
  cores: number;
  pool: number;
  hostname: string;
}

/** A change of the view, in epoch order. */
export interface NativeView {
  epoch: number;
  full: boolean;
  members: readonly NativeMemberInfo[];
  gone: readonly number[];
  /** first, count, home */
  shards: readonly (readonly [number, number, number])[];
}

/** Numbers of native/memory/member.h. */
export const OpKind = {
  mmap: 1,
  munmap: 2,
  read: 3,
  write: 4,
  compareAndSwap: 5,
  fetchAndStore: 6,
  fetchAdd: 7,
  watch: 9,
  mutexLock: 16,
  mutexTryLock: 17,
  mutexUnlock: 18,
  barrier: 22,
  allreduce: 23,
} as const;

export interface NativePiece {
  addr: bigint;
  data: Uint8Array;
}

/** One operation. Its arrays belong to the engine until it is done: they must not be transferred meanwhile. */
export interface NativeOp {
  kind: number;
  mode: number;
  reduceOp: number;
  reduceType: number;
  /** barrier, allreduce: how many arrive */
  count: number;
  addr: bigint;
  addr2: bigint;
  /** bytes; mmap: of a page */
  size: number;
  value: bigint;
  /** who locks: any number that no other caller of this job uses */
  thread: bigint;
  in: Uint8Array | null;
  in2: Uint8Array | null;
  out: Uint8Array | null;
  pieces: readonly NativePiece[] | null;
}

export interface NativeResult {
  /** errno, 0: none */
  error: number;
  message: string;
  value: bigint;
}

export interface NativeStats {
  pagesOwned: number;
  pagesCached: number;
  bytesOwned: number;
  bytesCached: number;
  messagesSent: number;
  messagesReceived: number;
  bytesSent: number;
  bytesReceived: number;
  pagesFetched: number;
}

export interface NativeMember {
  readonly port: number;
  readonly epoch: number;
  applyView(view: NativeView): void;
  /** The result when it is there at once; else null, and `done` is called later, unless the member is closed before. */
  submit(op: NativeOp, done: (result: NativeResult) => void): NativeResult | null;
  stats(): NativeStats;
  members(): NativeMemberInfo[];
  close(): void;
}

/** "log": level as in pino, line. "unreachable": member id, why. */
export type NativeEvent = (event: 'log' | 'unreachable', number: number, text: string) => void;

interface Addon {
  NativeMember: new (config: NativeConfig, onEvent: NativeEvent) => NativeMember;
}

let addon: Addon | null = null;

/** The addon: DMI_ADDON if set, else the one that this checkout or package was built with. */
export function loadAddon(): Addon {
  if (addon) return addon;
  const explicit = process.env.DMI_ADDON;
  const candidates = explicit
    ? [explicit]
    : ['../native/dmi.node', '../../../native/build/Release/dmi.node'].map(path =>
        fileURLToPath(new URL(path, import.meta.url)),
      );
  const found = candidates.find(path => existsSync(path));
  if (!found) {
    throw new GlobalMemoryError(
      'no-addon',
      `the native addon is missing, looked for ${candidates.join(' and ')}: run "npm run build"`,
    );
  }
  try {
    addon = createRequire(import.meta.url)(found) as Addon;
  } catch (cause) {
    throw new GlobalMemoryError('no-addon', `the native addon ${found} cannot be loaded: build it again`, { cause });
  }
  return addon;
}
