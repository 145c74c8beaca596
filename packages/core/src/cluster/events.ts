import type { Legacy } from '../store/records.js';
import type { AgentBody, CoordinatorBody, HostReport, JobOutcome, NodeInfo } from '../wire/agent-messages.js';
import type { ViewChange } from '../wire/host-messages.js';
import type { JobSpec } from '../wire/job-spec.js';
import type { HostSizes } from './deadline.js';
import type { Waiter } from './state.js';

/** What happens to the cluster. Time comes with the event: the transition function has no clock. */
export type ClusterInput = { now: number } & (
  | { type: 'join'; node: NodeInfo; name: string; hosts: readonly HostReport[]; outcomes: readonly JobOutcome[] }
  | { type: 'rejoin'; name: string }
  | { type: 'link-down'; name: string }
  | { type: 'agent'; name: string; body: AgentBody }
  | { type: 'submit'; waiter: Waiter; job: string; key: Uint8Array; spec: JobSpec }
  | { type: 'watch'; waiter: Waiter; job: string }
  | { type: 'kill'; waiter: Waiter; job: string }
  /** `deadline`: seconds from now; `sizes`: what its hosts say then. */
  | {
      type: 'drain';
      waiter: Waiter;
      node: string;
      deadline: number | null;
      partial: boolean;
      sizes: readonly HostSizes[];
    }
  | { type: 'keep'; waiter: Waiter; node: string }
  | { type: 'move'; waiter: Waiter; job: string | null; thread: string; node: string }
  | { type: 'attach'; waiter: Waiter; job: string }
  | { type: 'announce'; waiter: Waiter; job: string; member: number; host: string; port: number }
  | { type: 'detach'; waiter: Waiter; job: string; member: number }
  | { type: 'client-gone'; client: string }
  /** What earlier coordinators have left; the first event, if there is a store. */
  | { type: 'inherit'; legacy: Legacy }
  | { type: 'tick' }
);

/** What the shell is to do. */
export type Effect =
  | { type: 'to-agent'; node: string; body: CoordinatorBody }
  | { type: 'reply'; waiter: Waiter; value: unknown }
  | { type: 'refuse'; waiter: Waiter; code: string; reason: string; hint: string | null }
  /** A `tick` is wanted then, ms. */
  | { type: 'wake'; at: number }
  | { type: 'watched'; client: string; job: string }
  | { type: 'client-view'; client: string; job: string; change: ViewChange }
  | { type: 'publish'; event: ClusterEvent }
  | { type: 'record'; key: string; value: object | true | null }
  | { type: 'drop-agent'; node: string; reason: string }
  | { type: 'log'; level: 'info' | 'warn' | 'error'; message: string; fields?: Record<string, unknown> };

/** What subscribers hear and `dmi run --events` writes, one JSON line each. Times are Unix seconds, sizes bytes. */
export type ClusterEvent = { time: number } & (
  | { event: 'join'; node: string; cores: number }
  | { event: 'leave'; node: string; reason: 'drained' | 'dead'; detail: string }
  | { event: 'link'; node: string; state: 'up' | 'down' }
  | { event: 'drain-started'; node: string; threads: number }
  | { event: 'drain-cancelled'; node: string }
  /** The time is up, and these are still there. */
  | {
      event: 'drain-overdue';
      node: string;
      threads: number;
      bytes: number;
      left: { job: string; thread: string; bytes: number; reason: string }[];
    }
  | { event: 'drain-finished'; node: string; seconds: number }
  | { event: 'job'; job: string; state: string; status: number | null; reason: string | null; seconds: number }
  | { event: 'member'; job: string; member: number; node: string | null; state: string; lite: boolean; epoch: number }
  | {
      event: 'moved';
      job: string;
      thread: string;
      from: string;
      to: string;
      fromMember: number;
      toMember: number;
      bytes: number;
      seconds: number;
      pauseSeconds: number;
      cause: string;
      collision: boolean;
    }
  | {
      event: 'move-failed';
      job: string;
      thread: string;
      from: string;
      to: string;
      code: string;
      reason: string;
      cause: string;
    }
  | { event: 'collision'; job: string; thread: string; node: string; member: number }
  | { event: 'threads'; job: string; nodes: Record<string, number>; total: number }
);
