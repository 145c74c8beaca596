import type { Logger } from 'pino';
import { now } from '../clock.js';
import type { ClusterInput, Effect } from '../cluster/events.js';
import { type Cluster, type ClusterSettings, emptyCluster } from '../cluster/state.js';
import { step } from '../cluster/step.js';
import { BEAT_MS } from '../constants.js';
import type { ImageStore } from '../images/store.js';
import { readRecords } from '../store/records.js';
import type { Term } from '../store/store.js';
import type { AgentBody } from '../wire/agent-messages.js';
import type { Accepted } from './accept.js';
import { Agents } from './agents.js';
import { Clients } from './clients.js';
import { Outputs } from './outputs.js';
import { Reports } from './reports.js';

export interface ReignOptions {
  term: Term;
  images: ImageStore;
  settings: Partial<ClusterSettings>;
  beatMs?: number;
  log: Logger;
}

const TICK_MS = 100;

/** What a coordinator does while it leads: connections and timers around the pure `step`. Begins with nothing, like a restarted one. */
export class Reign {
  #cluster: Cluster;
  readonly #log: Logger;
  readonly #agents: Agents;
  readonly #clients: Clients;
  readonly #reports: Reports;
  readonly #outputs: Outputs;
  readonly #inputs: ClusterInput[] = [];
  readonly #timer: NodeJS.Timeout;
  #stepping = false;
  #over = false;

  constructor(private readonly options: ReignOptions) {
    const { images, log, beatMs = BEAT_MS } = options;
    this.#log = log;
    this.#cluster = emptyCluster(options.settings);
    const cluster = () => this.#cluster;
    const apply = (input: ClusterInput) => this.#apply(input);
    const leads = () => this.#leads;
    this.#agents = new Agents({
      log,
      images,
      cluster,
      apply,
      leads,
      beatMs,
      graceMs: this.#cluster.settings.graceMs,
      onBody: (name, body) => this.#onBody(name, body),
    });
    this.#reports = new Reports(cluster, (node, body) => this.#agents.send(node, body));
    this.#outputs = new Outputs({
      cluster,
      toAgent: (node, body) => this.#agents.send(node, body),
      show: (job, pieces) => this.#clients.output(job, pieces),
    });
    this.#clients = new Clients({
      images,
      reports: this.#reports,
      cluster,
      apply,
      leads,
      seen: (job, seen) => this.#outputs.seen(job, seen),
      toHost: (job, member, message) => {
        const node = this.#cluster.jobs.get(job)?.hosts.get(member)?.node;
        if (node != null) this.#agents.send(node, { t: 'to-host', job, member, message });
      },
    });
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    const { legacy, unknown } = readRecords(options.term.records);
    for (const key of unknown) log.warn({ key }, `the store has a record that is not understood: ${key}`);
    if (options.term.records.size > 0) this.#apply({ type: 'inherit', legacy, now: now() });
  }

  get cluster(): Readonly<Cluster> {
    return this.#cluster;
  }

  /** Takes over a connection whose handshake is complete. */
  accept({ peer, role, session }: Accepted): void {
    if (role === 'agent') this.#agents.accept(peer, session);
    else this.#clients.accept(peer, session);
  }

  /** Closes all connections; agents and their hosts go on without it. */
  close(reason: string): void {
    this.#over = true;
    clearInterval(this.#timer);
    this.#agents.close(reason);
    this.#outputs.close();
    this.#clients.close(reason);
  }

  /** Asked before anything is decided or sent: a process that stood still may have been succeeded. */
  get #leads(): boolean {
    return !this.#over && this.options.term.held;
  }

  #onBody(node: string, body: AgentBody): void {
    if (body.t === 'from-host' && body.message.t === 'report') this.#reports.accept(body.member, body.message);
    else if (body.t === 'from-host' && body.message.t === 'input-wanted')
      this.#clients.askForInput(body.job, body.member, body.message);
    else if (body.t === 'from-host' || body.t === 'replayed') this.#outputs.heard(node, body);
  }

  #tick(): void {
    if (!this.#leads) return;
    this.#outputs.tick();
    const idle =
      this.#cluster.jobs.size === 0 &&
      this.#cluster.expected.size + this.#cluster.drains.size === 0 &&
      [...this.#cluster.nodes.values()].every(node => node.downSince === null);
    if (!idle) this.#apply({ type: 'tick', now: now() });
  }

  /** One event after the other: effects may cause further events, which wait for their turn. */
  #apply(input: ClusterInput): void {
    this.#inputs.push(input);
    if (this.#stepping) return;
    this.#stepping = true;
    try {
      for (let next = this.#inputs.shift(); next; next = this.#inputs.shift()) {
        if (!this.#leads) continue;
        const { cluster, effects } = step(this.#cluster, next);
        this.#cluster = cluster;
        for (const effect of effects) this.#perform(effect);
      }
    } finally {
      this.#stepping = false;
    }
  }

  #perform(effect: Effect): void {
    switch (effect.type) {
      case 'to-agent':
        this.#agents.send(effect.node, effect.body);
        return;
      case 'reply':
        this.#clients.reply(effect.waiter, effect.value);
        return;
      case 'refuse':
        this.#clients.refuse(effect.waiter, effect.code, effect.reason, effect.hint);
        return;
      case 'wake':
        setTimeout(() => this.#tick(), Math.max(0, effect.at - now())).unref();
        return;
      case 'watched':
        if (this.#clients.follow(effect.client, effect.job)) this.#outputs.replay(effect.job);
        return;
      case 'client-view':
        this.#clients.view(effect.client, effect.job, effect.change);
        return;
      case 'record':
        this.options.term.put(effect.key, effect.value);
        return;
      case 'drop-agent':
        this.#agents.forget(effect.node);
        return;
      case 'log':
        this.#log[effect.level](effect.fields ?? {}, effect.message);
        return;
      case 'publish': {
        const { event } = effect;
        if (
          event.event === 'job' &&
          (event.state === 'done' || event.state === 'failed' || event.state === 'cancelled')
        ) {
          this.#outputs.end(event.job);
        }
        this.#clients.publish(event);
        return;
      }
    }
  }
}
