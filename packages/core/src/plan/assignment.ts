import type { PlanNode, PlannedMove, PlanThread, Snapshot } from './snapshot.js';
import { threadLoads } from './snapshot.js';

/** A node while a plan is being made. */
export interface Place {
  readonly node: PlanNode;
  /** Its place in the snapshot: what ties are broken by. */
  readonly index: number;
  load: number;
  /** When the plan was begun. */
  loadAtFirst: number;
  /** Indices of threads. */
  readonly threads: Set<number>;
}

/** Where each thread is while a plan is being made, and how loaded that makes the nodes. */
export class Assignment {
  readonly loads: readonly number[];
  readonly places: readonly Place[];
  readonly open: readonly Place[];
  /** How often something was put elsewhere. */
  changes = 0;
  readonly #byName = new Map<string, Place>();
  readonly #at: (Place | undefined)[];

  constructor(readonly snapshot: Snapshot) {
    this.loads = threadLoads(snapshot);
    this.places = snapshot.nodes.map((node, index) => ({
      node,
      index,
      load: 0,
      loadAtFirst: 0,
      threads: new Set<number>(),
    }));
    this.open = this.places.filter(({ node }) => node.open);
    for (const place of this.places) this.#byName.set(place.node.id, place);
    this.#at = snapshot.threads.map(({ node }, i) => {
      const place = this.#byName.get(node);
      place?.threads.add(i);
      if (place) place.load += this.load(i);
      return place;
    });
    for (const place of this.places) place.loadAtFirst = place.load;
  }

  load(thread: number): number {
    return this.loads[thread] as number;
  }

  thread(index: number): PlanThread {
    return this.snapshot.threads[index] as PlanThread;
  }

  at(thread: number): Place | undefined {
    return this.#at[thread];
  }

  /** Where it was when the plan was begun. */
  origin(thread: number): Place | undefined {
    return this.#byName.get(this.thread(thread).node);
  }

  place(name: string): Place | undefined {
    return this.#byName.get(name);
  }

  /** Can it go there? */
  fits(thread: number, place: Place): boolean {
    return this.thread(thread).barred?.has(place.node.id) !== true;
  }

  put(thread: number, to: Place): void {
    this.changes++;
    const from = this.#at[thread];
    if (from) {
      from.threads.delete(thread);
      from.load -= this.load(thread);
    }
    to.threads.add(thread);
    to.load += this.load(thread);
    this.#at[thread] = to;
  }

  /** Threads that have to leave because their node does: the greatest loads first. */
  leaving(): number[] {
    const found: number[] = [];
    for (const { node, threads } of this.places)
      if (!node.open) for (const i of threads) if (this.thread(i).held === null) found.push(i);
    return found.sort((a, b) => this.load(b) - this.load(a) || a - b);
  }

  /** Load per core over all open nodes. */
  average(): number {
    let [load, cores] = [0, 0];
    for (const place of this.open) {
      load += place.load;
      cores += place.node.cores;
    }
    return cores === 0 ? 0 : load / cores;
  }

  /** What is different from the beginning, moves off leaving nodes first. */
  moves(why: (thread: number, from: Place, to: Place) => string): PlannedMove[] {
    const moves: PlannedMove[] = [];
    for (let i = 0; i < this.#at.length; i++) {
      const [from, to] = [this.origin(i), this.#at[i]];
      if (!from || !to || from === to) continue;
      const { id, bytes, collides } = this.thread(i);
      const cause = from.node.open ? 'balance' : 'drain';
      moves.push({
        thread: id,
        from: from.node.id,
        to: to.node.id,
        bytes,
        cause,
        why: cause === 'drain' ? `node ${from.node.id} is leaving` : why(i, from, to),
        extraHost: collides.has(to.node.id),
      });
    }
    return moves.sort((a, b) => Number(b.cause === 'drain') - Number(a.cause === 'drain'));
  }
}

export function pressure(place: Place, more = 0): number {
  return (place.load + more) / place.node.cores;
}

/** The open node where it can run that is the least loaded with so much more on it; one without a collision if that is as good. */
export function leastLoaded(plan: Assignment, thread: number): Place | undefined {
  const more = plan.load(thread);
  const { collides } = plan.thread(thread);
  let best: Place | undefined;
  let [least, clash] = [Number.POSITIVE_INFINITY, false];
  for (const place of plan.open) {
    if (!plan.fits(thread, place)) continue;
    const p = pressure(place, more);
    const c = collides.has(place.node.id);
    if (p < least || (p === least && clash && !c)) [best, least, clash] = [place, p, c];
  }
  return best;
}
