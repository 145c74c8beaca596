import { type BalanceOptions, type Loads, noLoads, noteLoads, type PolicyName, placeNew, plan } from '@dmi/core';
import type { Happening, Trace } from './trace.js';

/** What became of a job under one policy. Times are seconds. */
export interface Outcome {
  policy: PolicyName;
  makespan: number;
  iterations: number;
  moves: number;
  bytes: number;
  /** Core-seconds in which a core of a node that was there had nothing to run. */
  idle: number;
  /** Of all core-seconds that there were. */
  idleShare: number;
  /** Threads that were on a node when it was gone; the job has failed then. */
  lost: number;
}

interface Node {
  name: string;
  cores: number;
  open: boolean;
  /** When it is gone. */
  gone: number;
  /** Moves use a node's network one after the other. */
  moving: boolean;
}

interface Thread {
  id: string;
  node: Node;
  work: number;
  bytes: number;
  /** `run`: it has work left. `talk`: its boundary is on the network. `wait`: for the others. */
  phase: 'run' | 'talk' | 'wait';
  left: number;
  cpu: number;
  waited: number;
  move: { to: Node; ends: number } | null;
  movedAt: number;
}

/** A thread stands still for this long besides what its bytes take. */
const MOVE_SECONDS = 0.005;
const EPSILON = 1e-9;
/** More steps than any sensible trace needs. */
const STEPS = 20_000_000;

/**
 * Runs a trace under a policy: the same planner, the same measurements and the same hysteresis as a coordinator, around processors
 * that are shared evenly and threads that wait for each other after every iteration. A thread stands still while it is moved
 * (the real ones run on), so moves cost rather too much here. Deterministic.
 */
export function simulate(trace: Trace, policy: PolicyName, options: BalanceOptions): Outcome {
  return new Simulation(trace, policy, options).run();
}

class Simulation {
  #now = 0;
  #iterations = 0;
  #moves = 0;
  #bytes = 0;
  #idle = 0;
  #offered = 0;
  #nodes: Node[];
  readonly #threads: Thread[];
  readonly #events: Happening[];
  readonly #loads: Loads = noLoads();
  readonly #near: { thread: number; bytes: number }[][];
  #measureAt: number;

  constructor(
    private readonly trace: Trace,
    private readonly policy: PolicyName,
    private readonly options: BalanceOptions,
  ) {
    this.#nodes = trace.nodes.map(node => newNode(node));
    const homes = placeNew(
      trace.nodes.map(({ name, cores }) => ({ id: name, cores, threads: 0, fixed: 0, open: true })),
      trace.threads.length,
    );
    const order = this.#nodes.flatMap(node => Array<Node>(homes.get(node.name) ?? 0).fill(node));
    this.#threads = trace.threads.map(({ work, bytes }, i) => ({
      id: `${i}.1`,
      node: order[i] as Node,
      work,
      bytes,
      phase: 'run',
      left: work,
      cpu: 0,
      waited: 0,
      move: null,
      movedAt: Number.NEGATIVE_INFINITY,
    }));
    this.#events = [...trace.events].sort((a, b) => a.at - b.at);
    this.#measureAt = options.interval;
    this.#near = this.#threads.map(() => []);
    for (const [a, b, bytes] of trace.sharing) {
      this.#near[a]?.push({ thread: b, bytes });
      this.#near[b]?.push({ thread: a, bytes });
    }
  }

  run(): Outcome {
    for (let step = 0; this.#iterations < this.trace.iterations && step < STEPS; step++) {
      const rates = this.#rates();
      const until = this.#next(rates);
      if (until === Number.POSITIVE_INFINITY) break;
      this.#advance(until - this.#now, rates);
      this.#now = until;
      this.#settleThreads();
      const lost = this.#settleNodes();
      if (lost > 0) return this.#outcome(lost);
    }
    return this.#outcome(0);
  }

  #outcome(lost: number): Outcome {
    const { policy } = this;
    const idleShare = this.#offered === 0 ? 0 : this.#idle / this.#offered;
    return {
      policy,
      makespan: this.#now,
      iterations: this.#iterations,
      moves: this.#moves,
      bytes: this.#bytes,
      idle: this.#idle,
      idleShare,
      lost,
    };
  }

  #running(thread: Thread): boolean {
    return thread.phase === 'run' && thread.move === null;
  }

  /** Cores that each running thread of a node gets. */
  #rates(): Map<Node, number> {
    const running = new Map<Node, number>();
    for (const thread of this.#threads)
      if (this.#running(thread)) running.set(thread.node, (running.get(thread.node) ?? 0) + 1);
    return new Map([...running].map(([node, n]) => [node, Math.min(1, node.cores / n)]));
  }

  /** When something happens next. */
  #next(rates: Map<Node, number>): number {
    let next = Math.min(this.#measureAt, this.#events[0]?.at ?? Number.POSITIVE_INFINITY);
    for (const { gone } of this.#nodes) next = Math.min(next, gone);
    for (const thread of this.#threads) {
      if (thread.move) next = Math.min(next, thread.move.ends);
      else if (thread.phase === 'run') next = Math.min(next, this.#now + thread.left / (rates.get(thread.node) ?? 1));
      else if (thread.phase === 'talk') next = Math.min(next, this.#now + thread.left);
    }
    return Math.max(next, this.#now);
  }

  #advance(seconds: number, rates: Map<Node, number>): void {
    let used = 0;
    for (const thread of this.#threads) {
      if (this.#running(thread)) {
        const rate = rates.get(thread.node) ?? 1;
        thread.left -= seconds * rate;
        thread.cpu += seconds * rate;
        thread.waited += seconds * (1 - rate);
        used += seconds * rate;
      } else if (thread.phase === 'talk' && !thread.move) {
        thread.left -= seconds;
      }
    }
    const offered = seconds * this.#nodes.reduce((sum, { cores }) => sum + cores, 0);
    this.#offered += offered;
    this.#idle += offered - used;
  }

  #settleThreads(): void {
    let moved = false;
    for (const [i, thread] of this.#threads.entries()) {
      if (thread.move && thread.move.ends <= this.#now + EPSILON) {
        thread.node.moving = false;
        thread.move.to.moving = false;
        thread.node = thread.move.to;
        thread.move = null;
        thread.movedAt = this.#now;
        moved = true;
      }
      if (thread.phase === 'run' && thread.left <= EPSILON) {
        thread.phase = 'talk';
        thread.left = this.#talk(i);
      }
      if (thread.phase === 'talk' && thread.left <= EPSILON) thread.phase = 'wait';
    }
    if (this.#threads.every(({ phase }) => phase === 'wait')) {
      this.#iterations++;
      for (const thread of this.#threads) Object.assign(thread, { phase: 'run', left: thread.work });
    }
    if (moved) this.#balance();
  }

  /** Seconds that a thread's exchange with threads on other nodes takes. */
  #talk(thread: number): number {
    const here = this.#threads[thread]?.node;
    let bytes = 0;
    for (const near of this.#near[thread] ?? []) if (this.#threads[near.thread]?.node !== here) bytes += near.bytes;
    return bytes / this.trace.network;
  }

  /** @returns how many threads are lost with a node */
  #settleNodes(): number {
    let changed = false;
    for (let event = this.#events[0]; event && event.at <= this.#now + EPSILON; event = this.#events[0]) {
      this.#events.shift();
      if ('join' in event) this.#nodes.push(newNode(event.join));
      if ('reclaim' in event) {
        const node = this.#nodes.find(({ name }) => name === event.reclaim);
        if (node) Object.assign(node, { open: false, gone: this.#now + event.notice });
      }
      if ('thread' in event) {
        const thread = this.#threads[event.thread];
        if (thread) thread.work = event.work;
      }
      changed = true;
    }
    for (const node of this.#nodes) {
      const here = this.#threads.filter(thread => thread.node === node || thread.move?.to === node).length;
      if (!node.open && here > 0 && node.gone <= this.#now + EPSILON) return here;
    }
    // A node that has been emptied leaves before its time is up.
    this.#nodes = this.#nodes.filter(
      node => node.open || this.#threads.some(thread => thread.node === node || thread.move?.to === node),
    );
    if (this.#measureAt <= this.#now + EPSILON) {
      this.#measureAt = this.#now + this.options.interval;
      this.#measure();
      changed = true;
    }
    if (changed) this.#balance();
    return 0;
  }

  #measure(): void {
    const member = new Map(this.#threads.map(({ id, node }) => [id, this.#nodes.indexOf(node)]));
    const reports = this.#threads.map(({ id, cpu, waited, bytes }) => ({
      thread: id,
      state: '',
      cpuSeconds: cpu,
      waitSeconds: waited,
      bytes,
      pinned: null,
      regions: [],
    }));
    noteLoads(this.#loads, reports, id => member.get(id), this.#now * 1000);
  }

  #balance(): void {
    const { policy, options } = this;
    const moves = plan(
      policy,
      {
        nodes: this.#nodes.map(({ name, cores, open }) => ({ id: name, cores, open })),
        threads: this.#threads.map(thread => ({
          id: thread.id,
          node: (thread.move?.to ?? thread.node).name,
          cpu: this.#loads.threads.get(thread.id)?.cpu ?? null,
          waited: this.#loads.threads.get(thread.id)?.waited ?? 0,
          bytes: thread.bytes,
          held: this.#held(thread),
          collides: new Set<string>(),
        })),
        sharing: this.#sharing(),
      },
      options,
    );
    for (const { thread: id, to: name } of moves) {
      const thread = this.#threads.find(one => one.id === id);
      const to = this.#nodes.find(node => node.name === name);
      if (!thread || !to || thread.node.moving || to.moving) continue;
      thread.node.moving = true;
      to.moving = true;
      thread.move = { to, ends: this.#now + MOVE_SECONDS + thread.bytes / this.trace.network };
      this.#moves++;
      this.#bytes += thread.bytes;
    }
  }

  #held(thread: Thread): string | null {
    if (thread.move) return 'it is moving';
    if (thread.node.open && this.#now - thread.movedAt < this.options.cooldown) return 'it was moved lately';
    return null;
  }

  /** Bytes per second, at the pace of the run so far. */
  #sharing(): [string, string, number][] {
    const pace = this.#now > 0 ? this.#iterations / this.#now : 0;
    return this.trace.sharing.map(([a, b, bytes]) => [`${a}.1`, `${b}.1`, bytes * pace]);
  }
}

function newNode({ name, cores }: { name: string; cores: number }): Node {
  return { name, cores, open: true, gone: Number.POSITIVE_INFINITY, moving: false };
}
