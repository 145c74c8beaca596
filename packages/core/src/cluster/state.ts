import { GRACE_MS, SHARDS } from '../constants.js';
import { noHomes, type ShardHomes } from '../plan/shards.js';
import type { DrainRecord } from '../store/records.js';
import type { AgentBody, HostReport, JobOutcome, NodeInfo } from '../wire/agent-messages.js';
import type { MemberInfo, MoveCause } from '../wire/host-messages.js';
import type { JobSpec } from '../wire/job-spec.js';
import type { HostState, JobState, MoveState, NodeState } from './lifecycle.js';
import { type Loads, noLoads } from './loads.js';

// What the coordinator knows. Only the functions of this folder change it, one event at a time (see step.ts).

export interface ClusterSettings {
  graceMs: number;
  /** A job whose client has gone is cancelled after this long without a new one. */
  ownerGraceMs: number;
  /** Moves under way per source and per destination host. */
  movesPerHost: number;
  /** Quiet time after threads came or went by themselves before a job is rebalanced. */
  settleMs: number;
  /** How long hosts have to say hello, and to be gone after `stop`. */
  spawnMs: number;
  /** Changes of members that come within this time make one view. */
  batchMs: number;
  stopMs: number;
}
export const DEFAULT_SETTINGS: ClusterSettings = {
  graceMs: GRACE_MS,
  ownerGraceMs: 10_000,
  movesPerHost: 4,
  settleMs: 500,
  spawnMs: 60_000,
  batchMs: 10,
  stopMs: 20_000,
};

export interface Cluster {
  settings: ClusterSettings;
  /** Milliseconds; the time of the latest event. */
  now: number;
  nodes: Map<string, Node>;
  jobs: Map<string, Job>;
  /** Hosts or nodes have come or gone: draining nodes may be free to leave. */
  unsettled: boolean;
  /** Bytes per second of moves so far; null: none has been measured. */
  moveRate: number | null;
  /** Jobs that are over, latest last, bounded. */
  history: JobOutcome[];
  /** Jobs of an earlier coordinator that no node has told of yet. */
  expected: Map<string, Expected>;
  /** Drains that an earlier coordinator had begun, of nodes that are not back yet. */
  drains: Map<string, DrainRecord & { since: number }>;
  /** By job: threads that were kept where they are by an earlier coordinator; until their job is known. */
  kept: Map<string, ReadonlySet<string>>;
}

export interface Expected {
  id: string;
  name: string;
  kind: JobSpec['kind'];
  n: number;
  startedAt: number;
  since: number;
  /** Clients that want to follow it. */
  watchers: Waiter[];
}

export interface Node {
  name: string;
  info: NodeInfo;
  state: NodeState;
  link: 'up' | 'down';
  /** Since when the connection is gone; null while it is up. */
  downSince: number | null;
  /** Since when it is up, if it is. */
  upSince: number;
  joinedAt: number;
  /** The agent has asked to leave; granted as soon as the last-node rule allows. */
  wantsLeave: string | null;
  drainStartedAt: number | null;
  /** When the machine is gone, ms; null: it stays as long as it takes. */
  leaveBy: number | null;
  /** That time has come, and what was left has been reported. */
  overdue: boolean;
  /** Requests of clients that wait until the node has left. */
  waiters: Waiter[];
}

/** Somebody who gets a reply later. */
export interface Waiter {
  client: string;
  request: number;
}

export interface Job {
  id: string;
  spec: JobSpec;
  key: Uint8Array;
  state: JobState;
  startedAt: number;
  /** Client that submitted it and gets its output; null after it has gone. */
  owner: string | null;
  ownerLostAt: number | null;
  epoch: number;
  /** Epochs to leave out before the next: those that an earlier coordinator may have given out unseen. */
  skipEpochs: number;
  homes: ShardHomes;
  /** Next member id; ids ascend and are never used twice. */
  nextMember: number;
  hosts: Map<number, Host>;
  threads: Map<string, Thread>;
  moves: Map<string, Move>;
  nextMove: number;
  /** Threads that decide the end: the main one, or all N. */
  first: Set<string>;
  statuses: Map<string, number>;
  /** Build id that all hosts must have; null until the first hello. */
  build: string | null;
  /** What the machine of each of its members, gone ones included, has (see destinations.ts). */
  features: Map<number, readonly string[]>;
  /** Not all of those machines are alike. */
  mixed: boolean;
  /** Threads that nodes have refused because they lack something, and why: by node and thread. */
  barred: Map<string, Map<string, string>>;
  /** Nodes that had no memory left for a thread: until when they are not asked again. */
  full: Map<string, number>;
  /** When to balance next; null: nothing to do. */
  balanceAt: number | null;
  /** When moves were last planned. */
  plannedAt: number;
  /** When the next view is made of the changes there are; null: there are none. */
  viewAt: number | null;
  balanceCause: MoveCause;
  /** A plan is being carried out: moves follow each other until the job is even. */
  balancing: boolean;
  /** How it ended, once it is `ending`. */
  outcome: { state: 'done' | 'failed' | 'cancelled'; status: number | null; reason: string | null } | null;
  endingAt: number | null;
  /** Threads per node have changed since they were last published. */
  countsDirty: boolean;
  /** Threads that have exited while news of their start or moves is still on its way from other hosts: how many messages. */
  late: Map<string, number>;
  /** Nodes that cannot host this job, and why: tried once, not again. */
  excluded: Map<string, string>;
  /** Threads that may not be movable now: pinned, busy, kept where they are. All others are. */
  held: Set<string>;
  /** Threads that are recorded as kept. */
  recorded: Set<string>;
  /** Pairs of hosts that did not reach each other when a thread was to be moved (see severed.ts); until when to go by it. */
  severed: Map<string, number>;
  /** Requests that wait for its end. */
  waiters: Waiter[];
  /** Set while the job is `recovering`. */
  recovery: Recovery | null;
  /** Threads that were there when the coordinator was restarted and have exited: late news of them means nothing. */
  ended: Set<string>;
  /** Where first threads ended. */
  statusNode: Map<string, string>;
  /** Processor time of its threads, for policies that go by it. */
  loads: Loads;
  /** Something happened that `reconcile` must look at. */
  touched: boolean;
}

/** What agents have said of a job that an earlier coordinator started. */
export interface Recovery {
  since: number;
  reports: Map<number, { node: string; report: HostReport }>;
  /** What its hosts have said meanwhile, in order. */
  held: { node: string; body: AgentBody }[];
  /** Clients that want to follow it. */
  watchers: Waiter[];
}

export interface Host {
  member: number;
  /** Null: a client that has attached, not a host process. */
  node: string | null;
  client: string | null;
  /** An extra host after a collision, or a client: in the view as `lite`. */
  lite: boolean;
  state: HostState;
  since: number;
  address: string;
  port: number;
  cores: number;
  pool: number;
  hostname: string;
  threads: Set<string>;
  /** Moves under way from and to here. */
  leaving: number;
  coming: number;
}

export interface Thread {
  id: string;
  member: number;
  movable: boolean;
  /** The move it is in. */
  move: string | null;
  /** The last of its moves that is known; 0: it is where it started. */
  moves: number;
  /** News of its start and its moves that has come: `moves` + 1 once all has. */
  told: number;
  /** It was learnt from agents after a restart. */
  recovered: boolean;
  /** Why it cannot be moved now, as its host said. */
  pinned: string | null;
  /** Not to be tried again before. */
  retryAt: number;
  attempts: number;
  /** A user put it where it is: only a drain moves it. */
  kept: boolean;
  /** When it was last moved to where it is. */
  movedAt: number;
  /** Members it cannot go to, because its address range is taken there or they would not have it; until when. */
  avoid: Map<number, number>;
}

export interface Move {
  id: string;
  state: MoveState;
  thread: string;
  from: number;
  to: number;
  cause: MoveCause;
  collision: boolean;
  startedAt: number;
  waiter: Waiter | null;
}

export function emptyCluster(settings: Partial<ClusterSettings> = {}): Cluster {
  return {
    settings: { ...DEFAULT_SETTINGS, ...settings },
    now: 0,
    nodes: new Map(),
    jobs: new Map(),
    unsettled: false,
    moveRate: null,
    history: [],
    expected: new Map(),
    drains: new Map(),
    kept: new Map(),
  };
}

export function newJob(id: string, spec: JobSpec, key: Uint8Array, owner: string | null, now: number): Job {
  return {
    id,
    spec,
    key,
    owner,
    state: 'starting',
    startedAt: now,
    ownerLostAt: null,
    epoch: 0,
    skipEpochs: 0,
    homes: noHomes(SHARDS),
    nextMember: 0,
    hosts: new Map(),
    threads: new Map(),
    moves: new Map(),
    nextMove: 1,
    first: new Set(),
    statuses: new Map(),
    build: null,
    features: new Map(),
    mixed: false,
    barred: new Map(),
    full: new Map(),
    balanceAt: null,
    plannedAt: 0,
    viewAt: null,
    balanceCause: 'balance',
    balancing: false,
    outcome: null,
    endingAt: null,
    countsDirty: false,
    late: new Map(),
    excluded: new Map(),
    held: new Set(),
    recorded: new Set(),
    severed: new Map(),
    waiters: [],
    recovery: null,
    ended: new Set(),
    statusNode: new Map(),
    loads: noLoads(),
    touched: true,
  };
}

/** Is it part of the job's view, or was it and has not left yet? */
export function inView(host: Host): boolean {
  return host.state === 'active' || host.state === 'draining' || host.state === 'handing' || host.state === 'drained';
}

export function memberInfo(host: Host): MemberInfo {
  return {
    id: host.member,
    state: host.lite ? 'lite' : host.state === 'active' || host.state === 'ready' ? 'active' : 'draining',
    host: host.address,
    port: host.port,
    cores: host.lite ? 0 : host.cores,
    pool: host.lite ? 0 : host.pool,
    hostname: host.hostname,
    node: host.node ?? '',
  };
}

/** The job's host on a node that is not an extra one. */
export function mainHost(job: Job, node: string): Host | undefined {
  for (const host of job.hosts.values()) {
    if (host.node === node && !host.lite && host.state !== 'gone' && host.state !== 'stopping') return host;
  }
  return undefined;
}
