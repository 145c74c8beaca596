import { Assignment, type Place } from './assignment.js';
import { planByAffinity } from './by-affinity.js';
import { planByLoad } from './by-load.js';
import { planShifts } from './moves.js';
import type { BalanceOptions, PolicyName } from './options.js';
import type { PlannedMove, Snapshot } from './snapshot.js';
import type { NodeLoad } from './targets.js';

/** What to move, and why. The same snapshot gives the same plan, and the plan carried out gives an empty one. */
export function plan(policy: PolicyName, snapshot: Snapshot, options: BalanceOptions): PlannedMove[] {
  switch (policy) {
    case 'load':
      return planByLoad(snapshot, options);
    case 'affinity':
      return planByAffinity(snapshot, options);
    case 'threads':
    case 'none':
      return planByThreads(snapshot, policy === 'none');
  }
}

/** Even threads per core; the smallest threads are moved. `keep`: only off nodes that are leaving. */
function planByThreads(snapshot: Snapshot, keep: boolean): PlannedMove[] {
  const result = new Assignment(snapshot);
  const movable = new Map<string, number[]>();
  const loads = result.places.map(({ node, threads }): NodeLoad => {
    const free = [...threads].filter(i => result.thread(i).held === null);
    free.sort((a, b) => result.thread(b).bytes - result.thread(a).bytes || b - a);
    movable.set(node.id, free);
    const fixed = keep && node.open ? threads.size : threads.size - free.length;
    return { id: node.id, cores: node.cores, threads: threads.size, fixed, open: node.open };
  });
  for (const { from, to, threads } of planShifts(loads)) {
    const place = result.place(to);
    const free = movable.get(from) ?? [];
    for (let n = 0; n < threads; n++) {
      const at = place ? free.findLastIndex(thread => result.fits(thread, place)) : -1;
      if (at >= 0 && place) result.put(free.splice(at, 1)[0] as number, place);
    }
  }
  // Those that cannot run where the counts would have them leave all the same, for where they can.
  for (const thread of result.leaving()) {
    const to = emptiest(result, thread);
    if (to) result.put(thread, to);
  }
  const perCore = new Map(loads.map(({ id, threads, cores }) => [id, (threads / cores).toFixed(2)]));
  return result.moves(
    (_, from, to) =>
      `${from.node.id} has ${perCore.get(from.node.id)} threads per core, ${to.node.id} ${perCore.get(to.node.id)}`,
  );
}

function emptiest(plan: Assignment, thread: number): Place | undefined {
  const per = ({ threads, node }: Place) => threads.size / node.cores;
  return plan.open
    .filter(place => plan.fits(thread, place))
    .reduce<Place | undefined>(
      (best, place) => (best === undefined || per(place) < per(best) ? place : best),
      undefined,
    );
}
