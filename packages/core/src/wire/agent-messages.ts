import * as v from 'valibot';
import * as f from './fields.js';
import { refused } from './handshake.js';
import { fromHost, toHost, viewChange } from './host-messages.js';
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

/** What an agent knows of a host, told after the coordinator has forgotten it. */
export const hostReport = v.object({
  job: f.id,
  member: f.member,
  lite: v.boolean(),
  spec: jobSpec,
  key: f.binary,
  nextMember: f.member,
  port: f.port,
  build: f.text,
  view: v.nullable(viewChange),
  threads: f.list(v.object({ thread: f.thread, movable: v.boolean(), first: v.boolean() }), 1 << 20),
  exited: f.list(v.object({ thread: f.thread, status: v.number(), first: v.boolean() }), 1 << 20),
});

export const join = v.object({
  t: v.literal('join'),
  node: nodeInfo,
  /** Set on a reconnect: the session to continue and the last frame received in it. */
  resume: v.nullable(v.object({ session: f.id, name: f.name, received: f.count })),
  hosts: f.list(hostReport, 65_536),
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

export const agentBody = v.variant('t', [
  v.object({ t: v.literal('from-host'), job: f.id, member: f.member, message: fromHost }),
  v.object({
    t: v.literal('host-exited'),
    job: f.id,
    member: f.member,
    code: v.nullable(v.number()),
    signal: v.nullable(f.text),
    detail: f.text,
  }),
  v.object({ t: v.literal('leave'), reason: f.text }),
]);
export const coordinatorBody = v.variant('t', [
  v.object({
    t: v.literal('spawn'),
    job: f.id,
    member: f.member,
    nextMember: f.member,
    lite: v.boolean(),
    key: f.binary,
    spec: jobSpec,
  }),
  v.object({ t: v.literal('to-host'), job: f.id, member: f.member, message: toHost }),
  v.object({ t: v.literal('flow'), job: f.id, open: v.boolean() }),
  v.object({ t: v.literal('leave-refused'), reason: f.text }),
  v.object({ t: v.literal('released'), reason: f.text }),
  v.object({ t: v.literal('forget'), job: f.id }),
]);
export const agentFrame = v.object({ t: v.literal('frame'), s: f.count, body: agentBody });
export const coordinatorFrame = v.object({ t: v.literal('frame'), s: f.count, body: coordinatorBody });

export const fromAgent = v.variant('t', [join, beat, need, agentFrame]);
export const toAgent = v.variant('t', [joined, refused, beat, piece, noPiece, coordinatorFrame]);

export type NodeInfo = v.InferOutput<typeof nodeInfo>;
export type HostReport = v.InferOutput<typeof hostReport>;
export type Join = v.InferOutput<typeof join>;
export type Joined = v.InferOutput<typeof joined>;
export type AgentBody = v.InferOutput<typeof agentBody>;
export type CoordinatorBody = v.InferOutput<typeof coordinatorBody>;
export type FromAgent = v.InferOutput<typeof fromAgent>;
export type ToAgent = v.InferOutput<typeof toAgent>;
