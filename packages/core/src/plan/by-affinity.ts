import { Assignment, leastLoaded, type Place } from './assignment.js';
import type { BalanceOptions } from './options.js';
import type { PlannedMove, Snapshot } from './snapshot.js';

/** Rounds over all threads; each move makes the whole better, so that this is only a limit to the time it takes. */
const ROUNDS = 50;
const CANDIDATES = 4;

/**
 * Weighs everything in seconds that a move is worth over `horizon`: what evens out load, what threads that share pages save by being
 * on one node, against the time the move itself takes and that of an extra host where its addresses are taken.
 *
 * The load's part is horizon / (2 average) * sum of load^2 / cores over the nodes: moving a load l from pressure p to pressure q is
 * worth about horizon * l * (p - q) / average. A move happens when it is worth more than `tolerance` of the horizon's use
 * of the thread, so that what wavers a little moves nothing.
 */
export function planByAffinity(snapshot: Snapshot, options: BalanceOptions): PlannedMove[] {
  const plan = new Assignment(snapshot);
  for (const thread of plan.leaving()) {
    const to = leastLoaded(plan, thread);
    if (to) plan.put(thread, to);
  }
  const worth = new Worth(plan, options);
  const movable = snapshot.threads.flatMap(({ held }, i) => (held === null ? [i] : []));
  for (let round = 0, changed = true; changed && round < ROUNDS; round++) {
    changed = false;
    for (const thread of movable) {
      const here = plan.at(thread);
      if (!here?.node.open) continue;
      if (single(plan, worth, thread, here) || together(plan, worth, thread, here)) changed = true;
    }
  }
  return plan.moves((thread, from, to) => worth.why(thread, from, to));
}

/** Moves the thread to where that is worth the most, if that is anywhere. */
function single(plan: Assignment, worth: Worth, thread: number, here: Place): boolean {
  let [best, most] = [null as Place | null, worth.threshold(thread)];
  for (const place of worth.candidates(thread)) {
    if (place === here || !plan.fits(thread, place)) continue;
    const gain = worth.gain(thread, here, place);
    if (gain > most) [best, most] = [place, gain];
  }
  if (best) plan.put(thread, best);
  return best !== null;
}

/** Threads that go together with one. */
const COMPANY = 4;

/** Moves the thread with some that share its pages, if that is worth it where its going alone is not. */
function together(plan: Assignment, worth: Worth, thread: number, here: Place): boolean {
  const company = worth.companions(thread, here).slice(0, COMPANY);
  if (company.length === 0) return false;
  for (const place of worth.candidates(thread)) {
    if (place === here || ![thread, ...company].every(one => plan.fits(one, place))) continue;
    const gone: number[] = [];
    let [gain, wanted] = [0, 0];
    for (const one of [thread, ...company]) {
      gain += worth.gain(one, here, place);
      wanted += worth.threshold(one);
      plan.put(one, place);
      gone.push(one);
      if (gain > wanted) return true;
    }
    for (const one of gone) plan.put(one, here);
  }
  return false;
}

class Worth {
  readonly #near: { thread: number; seconds: number }[][];
  readonly #perLoad: number;
  #least: readonly Place[] = [];
  #seen = -1;

  constructor(
    private readonly plan: Assignment,
    private readonly options: BalanceOptions,
  ) {
    const { horizon, rate, weights } = options;
    const average = plan.average();
    this.#perLoad = average > 0 ? (weights.load * horizon) / (2 * average) : 0;
    this.#near = plan.snapshot.threads.map(() => []);
    const index = new Map(plan.snapshot.threads.map(({ id }, i) => [id, i]));
    for (const [a, b, bytes] of plan.snapshot.sharing) {
      const [i, j] = [index.get(a), index.get(b)];
      if (i === undefined || j === undefined || i === j) continue;
      const seconds = (weights.sharing * horizon * bytes) / rate;
      this.#near[i]?.push({ thread: j, seconds });
      this.#near[j]?.push({ thread: i, seconds });
    }
  }

  threshold(thread: number): number {
    const { tolerance, horizon } = this.options;
    return 1e-6 + tolerance * horizon * Math.min(1, this.plan.load(thread));
  }

  /** Where its neighbours are, the least loaded nodes, and where it came from. */
  candidates(thread: number): Set<Place> {
    const found = new Set<Place>();
    for (const near of this.#near[thread] ?? []) {
      const place = this.plan.at(near.thread);
      if (place?.node.open) found.add(place);
    }
    for (const place of this.#leastLoaded()) found.add(place);
    const origin = this.plan.origin(thread);
    if (origin?.node.open) found.add(origin);
    return found;
  }

  /** Threads on the same node that share its pages and can be moved, those that share the most first. */
  companions(thread: number, here: Place): number[] {
    const near = (this.#near[thread] ?? [])
      .filter(other => this.plan.at(other.thread) === here && this.plan.thread(other.thread).held === null)
      .sort((a, b) => b.seconds - a.seconds || a.thread - b.thread);
    return [...new Set(near.map(other => other.thread))];
  }

  /**
   * The least loaded nodes of each number of cores: the best one for any thread is among them. Looked for again only when something
   * has been put elsewhere.
   */
  #leastLoaded(): readonly Place[] {
    if (this.#seen === this.plan.changes) return this.#least;
    this.#seen = this.plan.changes;
    const byCores = new Map<number, Place[]>();
    for (const place of this.plan.open) {
      const least = byCores.get(place.node.cores) ?? [];
      byCores.set(place.node.cores, least);
      let at = least.length;
      while (at > 0 && (least[at - 1] as Place).load > place.load) at--;
      if (at < CANDIDATES) least.splice(at, 0, place);
      if (least.length > CANDIDATES) least.pop();
    }
    const least = [...byCores.values()].flat();
    this.#least = least;
    return least;
  }

  /** Seconds that a move from here to there is worth, its own cost taken off (or given back, if it undoes one). */
  gain(thread: number, here: Place, there: Place): number {
    return (
      this.even(thread, here, there) +
      this.together(thread, here, there) +
      this.cost(thread, here) -
      this.cost(thread, there)
    );
  }

  even(thread: number, here: Place, there: Place): number {
    const load = this.plan.load(thread);
    const square = (place: Place, more: number) => (place.load + more) ** 2 / place.node.cores;
    return this.#perLoad * (square(here, 0) + square(there, 0) - square(here, -load) - square(there, load));
  }

  together(thread: number, here: Place, there: Place): number {
    let sum = 0;
    for (const near of this.#near[thread] ?? []) {
      const place = this.plan.at(near.thread);
      if (place === there) sum += near.seconds;
      else if (place === here) sum -= near.seconds;
    }
    return sum;
  }

  /** Of its being there, for a thread that was elsewhere at first. */
  cost(thread: number, there: Place): number {
    const origin = this.plan.origin(thread);
    if (origin === there || !origin?.node.open) return this.host(thread, there);
    const { rate, weights } = this.options;
    return (weights.bytes * this.plan.thread(thread).bytes) / rate + this.host(thread, there);
  }

  host(thread: number, there: Place): number {
    const { hostSeconds, weights } = this.options;
    if (this.plan.origin(thread) === there) return 0;
    return this.plan.thread(thread).collides.has(there.node.id) ? weights.hosts * hostSeconds : 0;
  }

  why(thread: number, from: Place, to: Place): string {
    const shared = this.together(thread, from, to);
    const parts = [`load ${this.plan.load(thread).toFixed(2)}`];
    if (shared > 0) parts.push(`${shared.toFixed(2)} s saved by being with threads that use the same pages`);
    parts.push(`${this.cost(thread, to).toFixed(2)} s to move`);
    return parts.join(', ');
  }
}
