import { Assignment, leastLoaded, type Place, pressure } from './assignment.js';
import type { BalanceOptions } from './options.js';
import type { PlannedMove, Snapshot } from './snapshot.js';

/** A plan must make the most loaded node better by this share: more than loads waver. */
const MIN_GAIN = 0.05;
/** Less is no difference. */
const EPSILON = 1e-9;
/** Nodes below this load per core are not worth moving for. */
const BUSY = 0.5;
/** Destinations that are looked at for each thread: the least loaded ones. */
const CANDIDATES = 8;

/**
 * Evens out measured load per core. Nothing is moved until a node is `tolerance` above the average; then as few bytes as bring all
 * nodes within half of that, so that what was put right stays right when loads waver.
 */
export function planByLoad(snapshot: Snapshot, { tolerance }: Pick<BalanceOptions, 'tolerance'>): PlannedMove[] {
  const plan = new Assignment(snapshot);
  for (const thread of plan.leaving()) {
    const to = leastLoaded(plan, thread);
    if (to) plan.put(thread, to);
  }
  const average = plan.average();
  const [least, most] = extremes(plan);
  const goals = { low: average * (1 - tolerance / 2), high: average * (1 + tolerance / 2) };
  if (most > Math.max(BUSY, average * (1 + tolerance))) even(plan, goals.high, most);
  if (most > BUSY && least < average * (1 - tolerance)) fill(plan, goals);
  return plan.moves((thread, from, to) => {
    const [was, is] = [loadAtFirst(from), loadAtFirst(to)];
    return `${from.node.id} has ${was} of load per core, ${to.node.id} ${is}; this thread ${plan.load(thread).toFixed(2)}`;
  });
}

function loadAtFirst(place: Place): string {
  return (place.loadAtFirst / place.node.cores).toFixed(2);
}

interface Step {
  thread: number;
  from: Place;
  to: Place;
}

function extremes(plan: Assignment): [least: number, most: number] {
  let [least, most] = [Number.POSITIVE_INFINITY, 0];
  for (const place of plan.open) {
    const p = pressure(place);
    least = Math.min(least, p);
    most = Math.max(most, p);
  }
  return [least, most];
}

/**
 * Gives nodes that have much less than the average (new ones, in a large cluster, whose others are hardly above it) their part, the
 * fullest nodes' threads with the fewest bytes for their load first.
 */
function fill(plan: Assignment, { low, high }: { low: number; high: number }): void {
  const full = new Set(plan.open);
  for (;;) {
    let [to, from] = [null as Place | null, null as Place | null];
    for (const place of plan.open) {
      if (to === null || pressure(place) < pressure(to)) to = place;
      if (full.has(place) && (from === null || pressure(place) > pressure(from))) from = place;
    }
    if (!to || !from || to === from || pressure(to) >= low || pressure(from) <= pressure(to)) return;
    let [best, price] = [null as number | null, Number.POSITIVE_INFINITY];
    for (const thread of from.threads) {
      const { held, bytes } = plan.thread(thread);
      const load = plan.load(thread);
      if (held !== null || load <= 0 || plan.origin(thread) !== from || !plan.fits(thread, to)) continue;
      const after = pressure(to, load);
      // Nobody ends above the goal, and nobody who gives ends as one who needs.
      if (after > high || pressure(from, -load) < Math.min(low, after)) continue;
      if (bytes / load < price) [best, price] = [thread, bytes / load];
    }
    if (best === null) full.delete(from);
    else plan.put(best, to);
  }
}

function even(plan: Assignment, goal: number, before: number): void {
  const steps: Step[] = [];
  for (;;) {
    const fullest = plan.open.reduce<Place | null>(
      (worst, place) => (worst === null || pressure(place) > pressure(worst) ? place : worst),
      null,
    );
    if (!fullest || pressure(fullest) <= goal) break;
    const step = bestStep(plan, fullest, goal);
    if (!step) break;
    plan.put(step.thread, step.to);
    steps.push(step);
  }
  const [, after] = extremes(plan);
  if (after > before * (1 - MIN_GAIN)) for (const { thread, from } of steps) plan.put(thread, from);
  else prune(plan, steps, goal);
}

/** The cheapest move that brings the node to the goal; if there is none, the one that leaves its two nodes the least loaded. */
function bestStep(plan: Assignment, from: Place, goal: number): Step | null {
  const worst = pressure(from);
  const sinks = plan.open
    .filter(place => place !== from)
    .sort((a, b) => pressure(a) - pressure(b) || a.index - b.index)
    .slice(0, CANDIDATES);
  let best: (Step & { after: number; bytes: number }) | null = null;
  for (const thread of from.threads) {
    const { held, bytes } = plan.thread(thread);
    const load = plan.load(thread);
    // What has been moved once stays: a plan moves no thread twice.
    if (held !== null || load <= 0 || plan.origin(thread) !== from) continue;
    for (const to of sinks) {
      if (!plan.fits(thread, to)) continue;
      const after = Math.max(pressure(from, -load), pressure(to, load));
      if (after > worst - EPSILON) continue;
      const reached = after <= goal;
      const better =
        best === null ||
        (reached && (best.after > goal || bytes < best.bytes || (bytes === best.bytes && after < best.after))) ||
        (!reached && best.after > goal && (after < best.after || (after === best.after && bytes < best.bytes)));
      if (better) best = { thread, from, to, after, bytes };
    }
  }
  return best;
}

/** Takes back moves that the others have made needless, the most bytes first. */
function prune(plan: Assignment, steps: readonly Step[], goal: number): void {
  const reached = Math.max(goal, extremes(plan)[1]);
  const dear = [...steps].sort((a, b) => plan.thread(b.thread).bytes - plan.thread(a.thread).bytes);
  for (const { thread, from } of dear) if (pressure(from, plan.load(thread)) <= reached) plan.put(thread, from);
}
