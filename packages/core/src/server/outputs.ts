import type { Cluster } from '../cluster/state.js';
import type { AgentBody, CoordinatorBody } from '../wire/agent-messages.js';
import { type Output, OutputOrder } from './output.js';
import { orderReplay } from './replay.js';

/** Output of a job is held back at its hosts while its client has more than this unread, bytes. */
const HIGH_WATER = 4 << 20;
const LOW_WATER = 512 << 10;
/** How long agents have to tell again what they kept, ms. */
const REPLAY_MS = 5_000;

type Replayed = Extract<AgentBody, { t: 'replayed' }>;

interface Replay {
  id: string;
  /** Nodes that have not told everything yet. */
  waiting: Set<string>;
  items: Replayed['items'];
  timer: NodeJS.Timeout;
}

interface Job {
  order: OutputOrder;
  replay: Replay | null;
  /** Its hosts are not read. */
  held: boolean;
}

export interface OutputsOptions {
  cluster: () => Cluster;
  toAgent: (node: string, body: CoordinatorBody) => void;
  /** Passes output on; the answer is the backlog of those who get it, bytes. */
  show: (job: string, pieces: readonly Output[]) => number;
}

/**
 * The output of all jobs on its way to their clients: each thread's in order over its moves, no faster than it is read, and
 * told again by the agents when a client takes a job over (after it, or the coordinator, was away).
 */
export class Outputs {
  readonly #jobs = new Map<string, Job>();
  #replays = 0;

  constructor(private readonly options: OutputsOptions) {}

  heard(node: string, body: Extract<AgentBody, { t: 'from-host' | 'replayed' }>): void {
    const { job: id } = body;
    if (body.t === 'replayed') {
      this.#replayed(node, body);
      return;
    }
    const { member, seq, message } = body;
    if (message.t !== 'output' && message.t !== 'arrived' && message.t !== 'moved' && message.t !== 'exited') return;
    const job = this.#job(id);
    if (!job) return;
    if (job.replay) {
      // Before its answer: the answer has it. After: it comes on top.
      if (!job.replay.waiting.has(node)) job.replay.items.push({ member, seq, message });
      return;
    }
    this.#show(id, job, job.order.accept(member, message, seq));
  }

  /** A client follows the job from now on: it gets what no client has confirmed. */
  replay(id: string): void {
    const job = this.#job(id);
    if (!job) return;
    if (job.replay) clearTimeout(job.replay.timer);
    const nodes = [...this.options.cluster().nodes.values()]
      .filter(({ link }) => link === 'up')
      .map(({ name }) => name);
    const timer = setTimeout(() => this.#finish(id, job), REPLAY_MS);
    job.replay = { id: `r${++this.#replays}`, waiting: new Set(nodes), items: [], timer };
    for (const node of nodes) this.options.toAgent(node, { t: 'replay', job: id, replay: job.replay.id });
    if (nodes.length === 0) this.#finish(id, job);
  }

  /** What a client has of a job's output; the agents need not keep it. */
  seen(id: string, seen: readonly { thread: string; member: number; seq: number }[]): void {
    const hosts = this.options.cluster().jobs.get(id)?.hosts;
    if (!hosts) return;
    const byNode = new Map<string, (typeof seen)[number][]>();
    for (const one of seen) {
      const node = hosts.get(one.member)?.node;
      if (node == null) continue;
      const list = byNode.get(node) ?? [];
      byNode.set(node, list);
      list.push(one);
    }
    for (const [node, list] of byNode) this.options.toAgent(node, { t: 'seen', job: id, seen: list });
  }

  /** Lets hosts print again whose clients have caught up. */
  tick(): void {
    for (const [id, job] of this.#jobs)
      if (job.held && this.options.show(id, []) < LOW_WATER) this.#flow(id, job, true);
  }

  /** The job is over: what still waits is shown. */
  end(id: string): void {
    const job = this.#jobs.get(id);
    if (!job) return;
    if (job.replay) this.#finish(id, job);
    this.options.show(id, job.order.flush());
    this.#jobs.delete(id);
  }

  close(): void {
    for (const { replay } of this.#jobs.values()) if (replay) clearTimeout(replay.timer);
    this.#jobs.clear();
  }

  #job(id: string): Job | undefined {
    let job = this.#jobs.get(id);
    if (!job && this.options.cluster().jobs.has(id)) {
      job = { order: new OutputOrder(), replay: null, held: false };
      this.#jobs.set(id, job);
    }
    return job;
  }

  #replayed(node: string, { job: id, replay, items, last }: Replayed): void {
    const job = this.#jobs.get(id);
    if (job?.replay?.id !== replay) return;
    for (const item of items) job.replay.items.push(item);
    if (!last) return;
    job.replay.waiting.delete(node);
    if (job.replay.waiting.size === 0) this.#finish(id, job);
  }

  #finish(id: string, job: Job): void {
    if (!job.replay) return;
    clearTimeout(job.replay.timer);
    const threads = this.options.cluster().jobs.get(id)?.threads ?? new Map();
    const { output, known } = orderReplay(job.replay.items, threads);
    job.replay = null;
    job.order = new OutputOrder(known);
    this.#show(id, job, output);
  }

  #show(id: string, job: Job, pieces: readonly Output[]): void {
    if (pieces.length > 0 && this.options.show(id, pieces) > HIGH_WATER) this.#flow(id, job, false);
  }

  #flow(id: string, job: Job, open: boolean): void {
    if (job.held === !open) return;
    job.held = !open;
    const nodes = new Set([...(this.options.cluster().jobs.get(id)?.hosts.values() ?? [])].map(host => host.node));
    for (const node of nodes) if (node !== null) this.options.toAgent(node, { t: 'flow', job: id, open });
  }
}
