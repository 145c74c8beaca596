import { DEFAULT_BALANCE, type PolicyName } from '../plan/options.js';
import { plan } from '../plan/policy.js';
import { type PlanThread, pressures, threadLoads } from '../plan/snapshot.js';
import type { PlanRow } from '../wire/client-messages.js';
import type { Loads } from './loads.js';
import { takeSnapshot } from './snapshot.js';
import type { Cluster, Job } from './state.js';

/** What a policy would do with a job as it is now: what `dmi plan` shows. Moves nothing. */
export function planReport(cluster: Cluster, job: Job, policy: PolicyName, loads: Loads): PlanRow {
  const snapshot = takeSnapshot(cluster, job, loads);
  const moves = plan(policy, snapshot, job.spec.balancing ?? DEFAULT_BALANCE);
  const to = new Map(moves.map(move => [move.thread, move.to]));
  const at = (i: number) => (snapshot.threads[i] as PlanThread).node;
  const later = (i: number) => to.get((snapshot.threads[i] as PlanThread).id) ?? at(i);
  const [before, after] = [pressures(snapshot, at), pressures(snapshot, later)];
  const count = (where: (i: number) => string, node: string) =>
    snapshot.threads.filter((_, i) => where(i) === node).length;
  const each = threadLoads(snapshot);
  const loadOf = new Map(snapshot.threads.map(({ id }, i) => [id, each[i] ?? 0]));
  return {
    job: job.id,
    name: job.spec.name,
    policy,
    own: job.spec.balance,
    measured: snapshot.threads.filter(({ cpu }) => cpu !== null).length,
    moves: moves.map(move => ({ ...move, load: loadOf.get(move.thread) ?? 0 })),
    nodes: snapshot.nodes.map(({ id, cores, open }) => ({
      node: id,
      cores,
      open,
      threads: count(at, id),
      threadsAfter: count(later, id),
      load: before.get(id) ?? 0,
      loadAfter: after.get(id) ?? 0,
    })),
    held: snapshot.threads.flatMap(({ id, node, held }) => (held === null ? [] : [{ thread: id, node, reason: held }])),
  };
}
