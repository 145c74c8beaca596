import * as v from 'valibot';
import * as f from './fields.js';

// The control channel between an agent and a host, as docs/internals/host-control.md defines it.

export const memberState = v.picklist(['active', 'draining', 'lite']);
export const memberInfo = v.object({
  id: f.member,
  state: memberState,
  host: f.text,
  port: f.port,
  cores: f.count,
  pool: f.count,
  hostname: f.text,
  node: f.text,
});
/** `[first shard, how many, home]` */
export const shardRange = v.tuple([f.count, f.count, f.member]);
export const viewChange = v.object({
  t: v.literal('view'),
  epoch: f.count,
  full: v.boolean(),
  members: f.list(memberInfo),
  gone: f.list(f.member),
  shards: f.list(shardRange, 1024),
});
export const imageFile = v.object({ path: f.path, real: f.path, hash: f.hash });
export const moveCause = v.picklist(['join', 'drain', 'balance', 'user']);

const start = v.object({
  t: v.literal('start'),
  role: v.literal('main'),
  rank: f.count,
  count: f.count,
  threads: f.count,
  thread: f.count,
});
const move = v.object({ t: v.literal('move'), move: f.id, thread: f.thread, to: f.member, cause: moveCause });
const drain = v.object({ t: v.literal('drain') });
/** An answer to `input-wanted`: what comes at that offset of the job's standard input; `end`: nothing comes after it. */
const input = v.object({
  t: v.literal('input'),
  thread: f.thread,
  offset: f.count,
  data: f.binary,
  end: v.boolean(),
});
const stop = v.object({ t: v.literal('stop'), reason: f.text });
/** With `stack`, a thread's name, the report is about nothing but where that thread is in its program. */
const query = v.object({ t: v.literal('query'), query: f.id, stack: v.optional(f.thread) });

/** What the coordinator sends to a host; the agent passes it on. */
export const toHost = v.variant('t', [viewChange, start, move, drain, input, stop, query]);

const hello = v.object({
  t: v.literal('hello'),
  version: f.text,
  build: f.text,
  wire: f.count,
  pid: f.count,
  port: f.port,
  features: f.list(f.text, 4096),
});
const started = v.object({
  t: v.literal('started'),
  thread: f.thread,
  by: v.nullish(f.thread, null),
  movable: v.boolean(),
});
// `moves` counts a thread's moves, from 1 for its first: what orders the news of one thread that comes from several hosts.
const arrived = v.object({
  t: v.literal('arrived'),
  thread: f.thread,
  move: v.nullish(f.id, null),
  bytes: f.count,
  moves: f.count,
});
const exited = v.object({
  t: v.literal('exited'),
  thread: f.thread,
  status: v.pipe(v.number(), v.integer()),
  result: v.nullish(f.wide, null),
  main: v.boolean(),
  moves: f.count,
});
export const moveCode = v.picklist([
  'ok',
  'collision',
  'no-memory',
  'features',
  'refused',
  'unreachable',
  'gone',
  'pinned',
  'busy',
]);
const moved = v.object({
  t: v.literal('moved'),
  move: v.nullish(f.id, null),
  thread: f.thread,
  to: v.nullish(f.member, null),
  ok: v.boolean(),
  code: moveCode,
  reason: v.nullish(f.text, ''),
  bytes: v.nullish(f.count, 0),
  seconds: v.nullish(f.seconds, 0),
  pauseSeconds: v.nullish(f.seconds, 0),
  moves: v.nullish(f.count, 0),
});
const output = v.object({ t: v.literal('output'), thread: f.thread, stream: v.picklist([1, 2]), data: f.binary });
/** A thread waits for what comes at this offset of the job's standard input. Said again while nobody answers. */
const inputWanted = v.object({ t: v.literal('input-wanted'), thread: f.thread, offset: f.count });
const fault = v.object({
  t: v.literal('fault'),
  thread: v.nullish(f.thread, null),
  signal: f.text,
  address: v.nullish(f.text, ''),
  pc: v.nullish(f.text, ''),
  symbol: v.nullish(f.text, ''),
  text: v.nullish(f.text, ''),
});
const failed = v.object({ t: v.literal('failed'), reason: f.text });
const drained = v.object({ t: v.literal('drained') });
const unreachable = v.object({ t: v.literal('unreachable'), member: f.member, reason: f.text });
const report = v.object({
  t: v.literal('report'),
  query: f.id,
  /** Seconds by the host's monotonic clock: processor time is measured against it, however long the report was under way. */
  clock: v.optional(f.seconds),
  threads: f.list(
    v.object({
      thread: f.thread,
      state: f.text,
      cpuSeconds: f.seconds,
      bytes: f.count,
      pinned: v.nullish(f.text, null),
      regions: v.optional(f.list(v.tuple([v.number(), v.number()])), []),
    }),
  ),
  memory: v.nullish(v.record(v.string(), v.number()), null),
  rss: v.nullish(f.count, 0),
  stack: v.optional(
    v.object({
      thread: f.thread,
      text: v.nullish(v.pipe(v.string(), v.maxLength(1 << 20)), null),
      why: v.nullish(f.text, null),
    }),
  ),
});
const log = v.object({ t: v.literal('log'), level: v.number(), msg: v.string() });

/** Names of the messages a host may send; others are logged and skipped. */
export const FROM_HOST_NAMES: ReadonlySet<string> = new Set([
  'hello',
  'started',
  'arrived',
  'exited',
  'moved',
  'output',
  'input-wanted',
  'fault',
  'failed',
  'drained',
  'unreachable',
  'report',
  'log',
]);

/** What a host sends. `log` ends at the agent, everything else goes on to the coordinator. */
export const fromHost = v.variant('t', [
  hello,
  started,
  arrived,
  exited,
  moved,
  output,
  inputWanted,
  fault,
  failed,
  drained,
  unreachable,
  report,
  log,
]);

/** First message to a host. The agent makes it from a `spawn`, with paths of this machine. */
export interface HostJobMessage {
  t: 'job';
  job: string;
  key: Uint8Array;
  member: number;
  node: string;
  lite: boolean;
  /** Somebody gives the job's first thread its standard input. */
  input: boolean;
  bind: string;
  program: string;
  hash: string;
  files: { path: string; real: string; hash: string }[];
  argv: string[];
  env: string[];
  cwd: string;
  pool: number;
  workers: number;
  threadMemory: number;
  peerTimeout: number;
  zone?: [number, number];
}

export type MemberInfo = v.InferOutput<typeof memberInfo>;
export type ShardRange = v.InferOutput<typeof shardRange>;
export type ViewChange = v.InferOutput<typeof viewChange>;
export type MoveCause = v.InferOutput<typeof moveCause>;
export type MoveCode = v.InferOutput<typeof moveCode>;
export type ToHost = v.InferOutput<typeof toHost>;
export type FromHost = v.InferOutput<typeof fromHost>;
