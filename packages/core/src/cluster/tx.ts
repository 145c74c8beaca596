import type { AgentBody, CoordinatorBody } from '../wire/agent-messages.js';
import type { ToHost } from '../wire/host-messages.js';
import type { ClusterEvent, Effect } from './events.js';
import type { Cluster, Host, Job, Waiter } from './state.js';

type Untimed<E> = E extends unknown ? Omit<E, 'time'> : never;

/** One transition: the state being changed and the effects gathered so far. */
export class Tx {
  readonly effects: Effect[] = [];
  /** What hosts said while their job was being rebuilt, to be dealt with in this transition. */
  readonly deferred: { node: string; body: AgentBody }[] = [];

  constructor(readonly cluster: Cluster) {}

  get now(): number {
    return this.cluster.now;
  }

  toAgent(node: string, body: CoordinatorBody): void {
    this.effects.push({ type: 'to-agent', node, body });
  }

  /** Clients that have attached only hear of views. */
  toHost(job: Job, host: Host, message: ToHost): void {
    if (host.node !== null) {
      this.toAgent(host.node, { t: 'to-host', job: job.id, member: host.member, message });
    } else if (host.client !== null && message.t === 'view') {
      this.effects.push({ type: 'client-view', client: host.client, job: job.id, change: message });
    }
  }

  publish(event: Untimed<ClusterEvent>): void {
    this.effects.push({ type: 'publish', event: { time: this.now / 1000, ...event } as ClusterEvent });
  }

  reply(waiter: Waiter, value: unknown): void {
    this.effects.push({ type: 'reply', waiter, value });
  }

  /** The client gets the job's output from now on, and what it has missed. */
  watched(waiter: Waiter, job: Job): void {
    if (job.owner === null || job.ownerLostAt !== null) {
      job.owner = waiter.client;
      job.ownerLostAt = null;
    }
    this.effects.push({ type: 'watched', client: waiter.client, job: job.id });
    this.reply(waiter, { job: job.id, state: job.state, outcome: null });
  }

  refuse(waiter: Waiter, code: string, reason: string, hint: string | null = null): void {
    this.effects.push({ type: 'refuse', waiter, code, reason, hint });
  }

  /** Leaves it to the next coordinator; null: no more. */
  record(key: string, value: object | true | null): void {
    this.effects.push({ type: 'record', key, value });
  }

  log(level: 'info' | 'warn' | 'error', message: string, fields: Record<string, unknown> = {}): void {
    this.effects.push({ type: 'log', level, message, fields });
  }
}
