import * as v from 'valibot';
import { POLICIES, type PolicyName } from '../plan/options.js';
import type { PlannedMove } from '../plan/snapshot.js';
import { seenList } from './agent-messages.js';
import * as f from './fields.js';
import { viewChange } from './host-messages.js';
import { jobSpec } from './job-spec.js';

// Between a client (CLI, TypeScript program, dashboard) and the coordinator, after the handshake: requests with a number,
// one reply each, and notices for what the client has subscribed to.

const request = <T extends string, E extends v.ObjectEntries>(verb: T, entries: E) =>
  v.object({ t: v.literal('request'), request: f.count, verb: v.literal(verb), ...entries });

export const clientRequest = v.variant('verb', [
  request('nodes', {}),
  request('jobs', {}),
  request('threads', { job: v.nullish(f.id, null), detail: v.optional(v.boolean(), false) }),
  /** What a policy (default: the job's own) would move, of one job or all. */
  request('plan', { job: v.nullish(f.text, null), policy: v.nullish(v.picklist(POLICIES), null) }),
  /** Which of these are not in the coordinator's store yet? */
  request('missing', { hashes: f.list(f.hash, 4096) }),
  request('upload', { hash: f.hash, offset: f.count, total: f.count, data: f.binary }),
  request('submit', { spec: jobSpec, output: v.boolean() }),
  request('watch', { job: f.id, output: v.boolean() }),
  /** Output of a job that has arrived: its agents need not keep it any more. */
  request('seen', { job: f.id, seen: seenList }),
  /** What comes at that offset of a job's standard input, for the host that has asked. */
  request('input', {
    job: f.id,
    member: f.member,
    thread: f.thread,
    offset: f.count,
    data: f.binary,
    end: v.boolean(),
  }),
  request('kill', { job: f.id }),
  /** `deadline`: seconds from now. Refused if not everything can be saved by then, unless `partial`. */
  request('drain', {
    node: f.text,
    deadline: v.nullish(v.pipe(v.number(), v.finite()), null),
    partial: v.optional(v.boolean(), false),
  }),
  request('keep', { node: f.text }),
  request('move', { thread: f.text, job: v.nullish(f.text, null), node: f.text }),
  /** Where a thread is in its program. */
  request('stack', { thread: f.text, job: v.nullish(f.text, null) }),
  request('subscribe', {}),
  request('attach', { job: f.text }),
  request('announce', { job: f.id, member: f.member, host: f.text, port: f.port }),
  request('detach', { job: f.id, member: f.member }),
]);

const reply = v.object({
  t: v.literal('reply'),
  request: f.count,
  ok: v.boolean(),
  value: v.unknown(),
  code: v.nullish(f.text, null),
  reason: v.nullish(f.text, null),
  hint: v.nullish(f.text, null),
});
export const output = v.object({
  t: v.literal('output'),
  job: f.id,
  thread: f.thread,
  stream: v.picklist([1, 2]),
  data: f.binary,
  member: f.member,
  seq: f.count,
});
/** A host's thread waits for what comes at this offset; answered by `input`. */
export const inputWanted = v.object({
  t: v.literal('input-wanted'),
  job: f.id,
  member: f.member,
  thread: f.thread,
  offset: f.count,
});
export const event = v.object({ t: v.literal('event'), event: v.record(v.string(), v.unknown()) });
export const view = v.object({ t: v.literal('view'), job: f.id, change: viewChange });

export const fromClient = clientRequest;
export const toClient = v.variant('t', [reply, output, inputWanted, event, view]);

export type ClientRequest = v.InferOutput<typeof clientRequest>;
export type ToClient = v.InferOutput<typeof toClient>;

/** What `dmi stack` shows: `text` has one call per line, the innermost first. */
export interface StackAnswer {
  job: string;
  thread: string;
  node: string;
  text: string;
}
/** A row of `dmi nodes`. */
export interface NodeRow {
  name: string;
  state: string;
  link: 'up' | 'down';
  cores: number;
  memory: number;
  threads: number;
  hosts: number;
  address: string;
  hostname: string;
  version: string;
  /** Seconds until the machine is gone; null: nobody has said so. */
  leaves: number | null;
}
/** A row of `dmi jobs`. */
export interface JobRow {
  job: string;
  name: string;
  kind: 'main' | 'spmd';
  state: string;
  n: number;
  threads: number;
  nodes: number;
  status: number | null;
  reason: string | null;
  epoch: number;
  seconds: number;
}
/** A row of `dmi ps`. */
export interface ThreadRow {
  thread: string;
  job: string;
  node: string;
  member: number;
  state: string;
  moves: number;
  pinned: string | null;
  cpuSeconds?: number;
  bytes?: number;
}
/** A job in `dmi plan`. Loads are cores' worth of work per core. */
export interface PlanRow {
  job: string;
  name: string;
  policy: PolicyName;
  /** The policy that the job was started with. */
  own: PolicyName;
  /** Threads whose processor time is known. */
  measured: number;
  moves: (PlannedMove & { load: number })[];
  nodes: {
    node: string;
    cores: number;
    /** False: it takes no threads. */
    open: boolean;
    threads: number;
    threadsAfter: number;
    load: number;
    loadAfter: number;
  }[];
  held: { thread: string; node: string; reason: string }[];
}
