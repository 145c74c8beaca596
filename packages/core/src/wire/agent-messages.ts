import * as v from 'valibot';
import * as f from './fields.js';
import { refused } from './handshake.js';
import { fromHost, moveCause, toHost, viewChange } from './host-messages.js';
import { jobSpec } from './job-spec.js';

// Between an agent and the coordinator, after the handshake. Messages that must not get lost or doubled over a reconnect
// travel in numbered frames (see link.ts); beats and pieces of images are not numbered.

export const nodeInfo = v.object({
  name: f.name,
  /** True: the name was asked for; false: the coordinator may add a number to make it unique. */
  nameFixed: v.boolean(),
  /** Differs for every start of an agent. */
  instance: f.id,
  cores: v.pipe(f.count, v.minValue(1)),
  /** Bytes of global memory that the node offers to each job. */
  memory: f.count,
  /** Where other nodes' hosts reach this node's data ports. */
  address: f.text,
  hostname: f.text,
  version: f.text,
  features: f.list(f.text, 4096),
});

/** How a job ended, as agents keep it for a coordinator that is restarted. */
export const jobOutcome = v.object({
  job: f.id,
  name: f.text,
  kind: v.picklist(['main', 'spmd']),
  n: f.count,
  state: v.picklist(['done', 'failed', 'cancelled']),
  status: v.nullable(v.number()),
  reason: v.nullable(f.text),
  seconds: f.seconds,
  epoch: f.count,
});

const hostEnd = { code: v.nullable(v.number()), signal: v.nullable(f.text), detail: f.text };
const firstEnds = f.list(v.object({ thread: f.thread, status: v.number() }), 1 << 20);

/** What an agent knows of a host, told to a coordinator that has forgotten it (see recovery/). */
export const hostReport = v.object({
  job: f.id,
  member: f.member,
  lite: v.boolean(),
  spec: jobSpec,
  key: f.binary,
  nextMember: f.member,
  /** When the job was submitted, ms since 1970 by the coordinator's clock. */
  startedAt: f.count,
  port: f.port,
  build: f.text,
  features: v.optional(f.list(f.text, 4096), []),
  hello: v.boolean(),
  /** It was told to hand everything over; it has; it was told to stop, and why; how its process ended. */
  drain: v.boolean(),
  drained: v.boolean(),
  stop: v.nullable(f.text),
  disowned: v.boolean(),
  end: v.nullable(v.object(hostEnd)),
  /** The views it was told: the first whole, then the changes. */
  views: f.list(viewChange, 1024),
  /** First threads it was told to start: their number on this host and in the job. */
  starts: f.list(v.object({ thread: f.count, rank: f.count }), 1 << 20),
  threads: f.list(v.object({ thread: f.thread, movable: v.boolean(), moves: f.count }), 1 << 20),
  /** Moves from here that were asked for and not answered. */
  moves: f.list(v.object({ move: f.id, thread: f.thread, to: f.member, cause: moveCause })),
  /** First threads that have ended, here or on nodes that have left. */
  exited: firstEnds,
  /** Threads that have ended here lately. */
  ended: f.list(f.thread, 1 << 20),
});

export const join = v.object({
  t: v.literal('join'),
  node: nodeInfo,
  /** Set on a reconnect: the session to continue and the last frame received in it. */
  resume: v.nullable(v.object({ session: f.id, name: f.name, received: f.count })),
  hosts: f.list(hostReport, 65_536),
  /** Jobs that ended lately. */
  outcomes: f.list(jobOutcome, 1024),
});
export const joined = v.object({
  t: v.literal('joined'),
  name: f.name,
  session: f.id,
  /** True: the session goes on, and the last frame received in it is `received`. */
  resumed: v.boolean(),
  received: f.count,
  beatMs: f.count,
  graceMs: f.count,
});
export const beat = v.object({ t: v.literal('beat'), ack: f.count });
export const need = v.object({ t: v.literal('need'), hash: f.hash, offset: f.count });
export const piece = v.object({ t: v.literal('piece'), hash: f.hash, offset: f.count, total: f.count, data: f.binary });
export const noPiece = v.object({ t: v.literal('no-piece'), hash: f.hash, reason: f.text });

export const seenList = f.list(v.object({ thread: f.thread, member: f.member, seq: f.count }), 1 << 20);
export const agentBody = v.variant('t', [
  /** `seq` numbers what a host says of its output, from 1 (see server/outputs.ts); 0 for everything else. */
  v.object({ t: v.literal('from-host'), job: f.id, member: f.member, seq: v.optional(f.count, 0), message: fromHost }),
  v.object({ t: v.literal('host-exited'), job: f.id, member: f.member, ...hostEnd }),
  /** A part of the answer to `replay`: what the job's hosts here have said of output that its client may not have. */
  v.object({
    t: v.literal('replayed'),
    job: f.id,
    replay: f.id,
    items: f.list(v.object({ member: f.member, seq: f.count, message: fromHost })),
    last: v.boolean(),
  }),
  /** `seconds`: how long it takes until the machine is gone, if that is known. */
  v.object({ t: v.literal('leave'), reason: f.text, seconds: v.nullish(f.seconds, null) }),
]);
export const coordinatorBody = v.variant('t', [
  v.object({
    t: v.literal('spawn'),
    job: f.id,
    member: f.member,
    nextMember: f.member,
    startedAt: f.count,
    lite: v.boolean(),
    key: f.binary,
    spec: jobSpec,
  }),
  v.object({ t: v.literal('to-host'), job: f.id, member: f.member, message: toHost }),
  v.object({ t: v.literal('flow'), job: f.id, open: v.boolean() }),
  v.object({ t: v.literal('leave-refused'), reason: f.text }),
  v.object({ t: v.literal('released'), reason: f.text }),
  v.object({ t: v.literal('forget'), job: f.id, outcome: v.nullable(jobOutcome) }),
  /** That host is no part of its job: it is stopped, and not spoken of again. */
  v.object({ t: v.literal('disown'), job: f.id, member: f.member, reason: f.text }),
  /** Kept with that host: first threads that ended on nodes which have left since. */
  v.object({ t: v.literal('remember'), job: f.id, member: f.member, exited: firstEnds }),
  v.object({ t: v.literal('replay'), job: f.id, replay: f.id }),
  /** The job's client has these threads' output from these members up to these numbers. */
  v.object({ t: v.literal('seen'), job: f.id, seen: seenList }),
]);
export const agentFrame = v.object({ t: v.literal('frame'), s: f.count, body: agentBody });
export const coordinatorFrame = v.object({ t: v.literal('frame'), s: f.count, body: coordinatorBody });

export const fromAgent = v.variant('t', [join, beat, need, piece, noPiece, agentFrame]);
export const toAgent = v.variant('t', [joined, refused, beat, need, piece, noPiece, coordinatorFrame]);

export type NodeInfo = v.InferOutput<typeof nodeInfo>;
export type JobOutcome = v.InferOutput<typeof jobOutcome>;
export type HostReport = v.InferOutput<typeof hostReport>;
export type Join = v.InferOutput<typeof join>;
export type Joined = v.InferOutput<typeof joined>;
export type AgentBody = v.InferOutput<typeof agentBody>;
export type CoordinatorBody = v.InferOutput<typeof coordinatorBody>;
export type FromAgent = v.InferOutput<typeof fromAgent>;
export type ToAgent = v.InferOutput<typeof toAgent>;
