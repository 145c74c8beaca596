import type { ClusterInput, Effect } from '../src/cluster/events.js';
import { type Cluster, emptyCluster } from '../src/cluster/state.js';
import { step } from '../src/cluster/step.js';
import { DEFAULT_BALANCE, type PolicyName } from '../src/plan/options.js';
import { HostMemory } from '../src/recovery/host-memory.js';
import { readRecords } from '../src/store/records.js';
import type { CoordinatorBody, JobOutcome, NodeInfo } from '../src/wire/agent-messages.js';
import type { FromHost, MoveCode } from '../src/wire/host-messages.js';
import type { JobSpec } from '../src/wire/job-spec.js';

// A cluster of pretended agents and hosts around the real transition function, for tests: messages of one channel stay in
// order, those of different ones are delivered in any order. The coordinator may crash: then it knows nothing, what was under
// way to and from it is lost, and agents join again with what they remember.

type AgentBody = Extract<ClusterInput, { type: 'agent' }>['body'];

interface ModelHost {
  job: string;
  member: number;
  node: string;
  lite: boolean;
  /** And how often each has moved. */
  threads: Map<string, number>;
  draining: boolean;
  epoch: number;
  /** Members that it knows of. */
  members: Set<number>;
}

export interface Dice {
  /** A number in [0, n). */
  pick(n: number): number;
}

export class Model {
  cluster: Cluster = emptyCluster({ settleMs: 50 });
  readonly hosts = new Map<string, ModelHost>();
  readonly inbox = new Map<string, CoordinatorBody[]>();
  readonly outbox = new Map<string, AgentBody[]>();
  /** What hosts have said and their agents have not read. */
  readonly said = new Map<string, { host: ModelHost; messages: (FromHost | 'end')[] }>();
  readonly memories = new Map<string, { node: string; job: string; memory: HostMemory }>();
  /** Agents without a coordinator. */
  readonly away = new Set<string>();
  readonly #features = new Map<string, readonly string[]>();
  /** Moves to where a thread cannot run that were asked for. */
  unfit = 0;
  /** Nodes without memory for any more thread, and how often they were asked for some. */
  readonly full = new Set<string>();
  asked = 0;
  readonly #infos = new Map<string, NodeInfo>();
  readonly #outcomes = new Map<string, JobOutcome[]>();
  /** Views that a host could not apply. */
  readonly misfits: string[] = [];
  crashes = 0;
  /** What is left in the store. */
  readonly records = new Map<string, unknown>();
  readonly refusals: string[] = [];
  readonly replies: unknown[] = [];
  readonly released: string[] = [];
  /** Member ids of each job in the order they were given out. */
  readonly spawned = new Map<string, number[]>();
  readonly events: Extract<Effect, { type: 'publish' }>['event'][] = [];
  /** Every thread that was started and has not ended, by job. */
  readonly alive = new Map<string, Set<string>>();
  #now = 1;
  #nextThread = 1_000;
  #nextNode = 1;
  #nextJob = 1;

  /** Pairs of nodes, like `n1 n2`, that do not reach each other. */
  readonly cuts = new Set<string>();

  /** @param options luck false: no move fails; store: a coordinator that is started anew finds what the last one left */
  constructor(
    private readonly dice: Dice,
    private readonly options: { cores?: number; luck?: boolean; balance?: PolicyName; store?: boolean } = {},
  ) {}

  input(
    input: { [K in ClusterInput['type']]: Omit<Extract<ClusterInput, { type: K }>, 'now'> }[ClusterInput['type']],
  ): void {
    const { cluster, effects } = step(this.cluster, { ...input, now: this.#now++ } as ClusterInput);
    this.cluster = cluster;
    for (const effect of effects) {
      if (effect.type === 'to-agent') this.inbox.get(effect.node)?.push(effect.body);
      else if (effect.type === 'refuse') this.refusals.push(effect.code);
      else if (effect.type === 'record') this.#record(effect.key, effect.value);
      else if (effect.type === 'reply') this.replies.push(effect.value);
      else if (effect.type === 'publish') this.events.push(effect.event);
    }
  }

  /** @param features of its machine */
  join(features: string[] = []): string {
    const name = `n${this.#nextNode++}`;
    this.inbox.set(name, []);
    this.outbox.set(name, []);
    const node = {
      name,
      nameFixed: true,
      instance: name,
      cores: this.options.cores ?? 1 + this.dice.pick(3),
      memory: 1,
      address: '127.0.0.1',
      hostname: name,
      version: '0',
      features,
    };
    this.#infos.set(name, node);
    this.input({ type: 'join', name, node, hosts: [], outcomes: [] });
    return name;
  }

  submit(n: number, kind: JobSpec['kind'] = 'spmd'): string {
    const job = `j${this.#nextJob++}`;
    const file = { path: '/p', hash: '0'.repeat(64), size: 1 };
    const spec: JobSpec = {
      name: 'p',
      kind,
      n,
      program: '/p',
      hash: file.hash,
      files: [file],
      argv: [],
      env: [],
      cwd: '/',
      threadMemory: 0,
      peerTimeout: 1,
      balance: this.options.balance ?? 'threads',
      balancing: { ...DEFAULT_BALANCE, interval: 0.1, cooldown: 0.1 },
    };
    this.alive.set(job, new Set());
    this.input({ type: 'submit', waiter: { client: 'c', request: 1 }, job, key: new Uint8Array(32), spec });
    return job;
  }

  drain(node: string, deadline: number | null = null): void {
    const waiter = { client: 'c', request: 2 };
    this.input({ type: 'drain', waiter, node, deadline, partial: true, sizes: [] });
  }

  keep(node: string): void {
    this.input({ type: 'keep', waiter: { client: 'c', request: 4 }, node });
  }

  /** One message, of any channel, is delivered. False: there is none. */
  deliver(): boolean {
    const ready: (() => void)[] = [];
    for (const [node, queue] of this.inbox)
      if (queue.length > 0) ready.push(() => this.agentBody(node, queue.shift() as CoordinatorBody));
    for (const [node, queue] of this.outbox) {
      if (queue.length > 0)
        ready.push(() => this.input({ type: 'agent', name: node, body: queue.shift() as AgentBody }));
    }
    for (const { host, messages } of this.said.values())
      if (messages.length > 0) ready.push(() => this.#heard(host, messages.shift() as FromHost | 'end'));
    for (const node of this.away) ready.push(() => this.#rejoin(node));
    ready[this.dice.pick(Math.max(1, ready.length))]?.();
    return ready.length > 0;
  }

  /** Delivers everything, and lets time pass until nothing more happens. */
  settle(): void {
    // Measurements would go on for ever.
    for (const job of this.cluster.jobs.values()) job.loads.askAt = Number.POSITIVE_INFINITY;
    for (let quiet = 0; quiet < (this.crashes > 0 ? 8 : 3); quiet++) {
      while (this.deliver()) quiet = 0;
      for (const job of this.cluster.jobs.values())
        if (job.owner === null && !job.recovery?.watchers.length)
          this.input({ type: 'watch', waiter: { client: 'c', request: 3 }, job: job.id });
      this.#now += 11_000;
      this.input({ type: 'tick' });
    }
  }

  tick(ms: number): void {
    this.#now += ms;
    this.input({ type: 'tick' });
  }

  /** The coordinator is killed and started anew. */
  crash(): void {
    this.crashes++;
    this.cluster = emptyCluster({ settleMs: 50 });
    for (const node of this.inbox.keys()) {
      this.inbox.set(node, []);
      this.outbox.set(node, []);
      this.away.add(node);
    }
    if (!this.options.store) return;
    const { legacy, unknown } = readRecords(this.records);
    if (unknown.length > 0) throw new Error(`records that nobody understands: ${unknown}`);
    this.input({ type: 'inherit', legacy });
  }

  #record(key: string, value: unknown): void {
    if (value === null) this.records.delete(key);
    else this.records.set(key, structuredClone(value));
  }

  #rejoin(name: string): void {
    this.away.delete(name);
    this.outbox.set(name, []);
    const hosts = [...this.memories.values()].filter(({ node }) => node === name).map(({ memory }) => memory.report());
    this.input({
      type: 'join',
      name,
      node: this.#infos.get(name) as NodeInfo,
      hosts,
      outcomes: this.#outcomes.get(name) ?? [],
    });
  }

  #heard(host: ModelHost, message: FromHost | 'end'): void {
    const { job, member, node } = host;
    const memory = this.memories.get(`${job}/${member}`)?.memory;
    if (message === 'end') {
      const end = { code: 0, signal: null, detail: '' };
      memory?.over(end);
      this.outbox.get(node)?.push({ t: 'host-exited', job, member, ...end });
    } else {
      memory?.heard(message);
      this.outbox.get(node)?.push({ t: 'from-host', job, member, seq: 0, message });
    }
  }

  /** Some thread creates another on its host. */
  spawnThread(): void {
    const [host, by] = this.#anyThread();
    if (!host || by === null) return;
    const thread = `${host.member}.${this.#nextThread++}`;
    this.#start(host, thread, by);
  }

  /** Some thread moves on its own account. */
  wander(): void {
    const [host, thread] = this.#anyThread();
    const peers = [...this.hosts.values()].filter(
      one => one.job === host?.job && one !== host && !one.draining && host.members.has(one.member),
    );
    const peer = peers[this.dice.pick(Math.max(1, peers.length))];
    if (host && thread !== null && peer && this.cluster.jobs.get(host.job)?.hosts.get(peer.member)?.state === 'active')
      this.#move(host, peer, thread, null);
  }

  /** Some thread ends; the first ones only if `first`. */
  exitThread(first: boolean): void {
    const [host, thread] = this.#anyThread();
    if (host && thread !== null && (first || Number(thread.split('.')[1]) >= 1_000)) this.#exit(host, thread);
  }

  exitAll(job: string): void {
    for (const host of this.hosts.values())
      if (host.job === job) for (const thread of [...host.threads.keys()]) this.#exit(host, thread);
  }

  where(job: string): Map<string, number> {
    const found = new Map<string, number>();
    for (const host of this.hosts.values())
      if (host.job === job) for (const thread of host.threads.keys()) found.set(thread, host.member);
    return found;
  }

  #anyThread(): [ModelHost | null, string | null] {
    const all = [...this.hosts.values()].flatMap(host =>
      [...host.threads.keys()].map((thread): [ModelHost, string] => [host, thread]),
    );
    return all[this.dice.pick(Math.max(1, all.length))] ?? [null, null];
  }

  #say(host: ModelHost, message: FromHost): void {
    const key = `${host.job}/${host.member}`;
    const queue = this.said.get(key) ?? { host, messages: [] };
    this.said.set(key, queue);
    queue.messages.push(message);
  }

  #start(host: ModelHost, thread: string, by: string | null): void {
    host.threads.set(thread, 0);
    this.alive.get(host.job)?.add(thread);
    this.#say(host, { t: 'started', thread, by, movable: true });
  }

  #exit(host: ModelHost, thread: string): void {
    const moves = host.threads.get(thread) ?? 0;
    host.threads.delete(thread);
    this.alive.get(host.job)?.delete(thread);
    const main = Number(thread.split('.')[1]) < 1_000;
    this.#say(host, { t: 'exited', thread, status: 0, result: '0', main, moves });
    this.#drained(host);
  }

  #drained(host: ModelHost): void {
    if (!host.draining || host.threads.size > 0) return;
    host.draining = false;
    this.#say(host, { t: 'drained' });
  }

  agentBody(node: string, body: CoordinatorBody): void {
    if (body.t === 'released') {
      this.released.push(node);
      this.inbox.delete(node);
      this.outbox.delete(node);
      for (const [key, memory] of this.memories) if (memory.node === node) this.memories.delete(key);
    } else if (body.t === 'spawn') {
      const ids = this.spawned.get(body.job) ?? [];
      this.spawned.set(body.job, [...ids, body.member]);
      const host: ModelHost = {
        job: body.job,
        member: body.member,
        node,
        lite: body.lite,
        threads: new Map(),
        draining: false,
        epoch: 0,
        members: new Set(),
      };
      this.hosts.set(`${body.job}/${body.member}`, host);
      this.memories.set(`${body.job}/${body.member}`, { node, job: body.job, memory: new HostMemory(body) });
      const features = this.#infos.get(node)?.features ?? [];
      this.#features.set(`${body.job}/${body.member}`, features);
      this.#say(host, { t: 'hello', version: '0.1.0', build: 'b', wire: 1, pid: 1, port: 1, features });
    } else if (body.t === 'forget') {
      if (body.outcome) this.#outcomes.set(node, [...(this.#outcomes.get(node) ?? []), body.outcome]);
      for (const [key, { node: where, job }] of this.memories)
        if (where === node && job === body.job) this.memories.delete(key);
    } else if (body.t === 'disown') {
      const key = `${body.job}/${body.member}`;
      this.memories.get(key)?.memory.disown();
      this.memories.get(key)?.memory.sent({ t: 'stop', reason: body.reason });
      const host = this.hosts.get(key);
      if (host) this.#host(host, { t: 'stop', reason: body.reason });
    } else if (body.t === 'remember') {
      this.memories.get(`${body.job}/${body.member}`)?.memory.remember(body.exited);
    } else if (body.t === 'to-host') {
      this.memories.get(`${body.job}/${body.member}`)?.memory.sent(body.message);
      const host = this.hosts.get(`${body.job}/${body.member}`);
      if (host) this.#host(host, body.message);
    }
  }

  #host(host: ModelHost, message: Extract<CoordinatorBody, { t: 'to-host' }>['message']): void {
    if (message.t === 'start') {
      this.#start(host, `${host.member}.${message.thread}`, null);
      return;
    }
    if (message.t === 'view') {
      // As the memory engine has it: a change builds on the epoch before it, the first view of all is number 1.
      const first = host.epoch === 0 ? message.full : message.full || message.epoch === host.epoch + 1;
      if (!first || message.epoch <= host.epoch) this.misfits.push(`${host.epoch} -> ${message.epoch}`);
      host.epoch = message.epoch;
      if (message.full) host.members.clear();
      for (const { id } of message.members) host.members.add(id);
      for (const id of message.gone) host.members.delete(id);
      return;
    }
    if (message.t === 'query') {
      const threads = [...host.threads.keys()].map(thread => ({
        thread,
        state: 'running',
        cpuSeconds: (this.#now / 1000) * (this.dice.pick(5) / 4),
        waitSeconds: 0,
        bytes: 4096 * this.dice.pick(1000),
        pinned: null,
        regions: [[4096 * this.dice.pick(1000), 4096] as [number, number]],
      }));
      this.#say(host, { t: 'report', query: message.query, threads, memory: null, rss: 0 });
      return;
    }
    if (message.t === 'drain') {
      host.draining = true;
      this.#drained(host);
      return;
    }
    if (message.t === 'stop') {
      this.hosts.delete(`${host.job}/${host.member}`);
      for (const thread of host.threads.keys()) this.alive.get(host.job)?.delete(thread);
      const key = `${host.job}/${host.member}`;
      const queue = this.said.get(key) ?? { host, messages: [] };
      this.said.set(key, queue);
      queue.messages.push('end');
      return;
    }
    if (message.t !== 'move') return;
    const { move, thread, to } = message;
    const answer = (code: MoveCode) => this.#answer(host, thread, move, code);
    if (!host.threads.has(thread)) {
      answer('gone');
      return;
    }
    const peer = this.hosts.get(`${host.job}/${to}`);
    if (!peer) {
      answer('unreachable');
      return;
    }
    if (this.cuts.has(`${host.node} ${peer.node}`) || this.cuts.has(`${peer.node} ${host.node}`)) {
      answer('unreachable');
      return;
    }
    const [start] = thread.split('.');
    const there = this.#features.get(`${host.job}/${to}`) ?? [];
    if (this.#features.get(`${host.job}/${start}`)?.some(feature => !there.includes(feature))) {
      this.unfit++;
      answer('features');
      return;
    }
    if (this.full.has(peer.node)) {
      this.asked++;
      answer('no-memory');
      return;
    }
    const luck = this.options.luck === false ? 12 : this.dice.pick(12);
    if (luck === 0 && !peer.lite) {
      answer('collision');
      return;
    }
    if (luck === 1) {
      answer('busy');
      return;
    }
    if (luck === 2) {
      answer('pinned');
      return;
    }
    if (luck === 3) {
      answer('unreachable');
      return;
    }
    this.#move(host, peer, thread, move);
  }

  #move(host: ModelHost, peer: ModelHost, thread: string, move: string | null): void {
    const moves = (host.threads.get(thread) ?? 0) + 1;
    host.threads.delete(thread);
    peer.threads.set(thread, moves);
    this.#say(peer, { t: 'arrived', thread, move, bytes: 1, moves });
    this.#answer(host, thread, move, 'ok', moves, peer.member);
    this.#drained(host);
  }

  #answer(
    host: ModelHost,
    thread: string,
    move: string | null,
    code: MoveCode,
    moves = 0,
    to: number | null = null,
  ): void {
    const figures = { reason: '', bytes: 1, seconds: 0, pauseSeconds: 0 };
    this.#say(host, { t: 'moved', move, thread, to, ok: code === 'ok', code, ...figures, moves });
  }
}
