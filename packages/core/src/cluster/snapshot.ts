import { type BalanceOptions, DEFAULT_BALANCE } from '../plan/options.js';
import type { PlanNode, PlanThread, Sharing, Snapshot } from '../plan/snapshot.js';
import { isSelective, whyNotThere } from './destinations.js';
import type { Loads } from './loads.js';
import { type Cluster, type Job, mainHost, type Thread } from './state.js';

/** A job as policies see it. Changes nothing. */
export function takeSnapshot(cluster: Cluster, job: Job, loads: Loads = job.loads): Snapshot {
  const { cooldown, sharing } = job.spec.balancing ?? DEFAULT_BALANCE;
  const nodes = new Map<string, PlanNode>();
  for (const { node: name, state } of job.hosts.values()) {
    const node = name === null ? undefined : cluster.nodes.get(name);
    if (!node || nodes.has(node.name) || state === 'gone' || state === 'stopping') continue;
    const open = node.state === 'active' && node.link === 'up' && mainHost(job, node.name)?.state === 'active';
    nodes.set(node.name, { id: node.name, cores: node.info.cores, open });
  }
  const nodeOf = (member: number) => job.hosts.get(member)?.node ?? '';
  const taken = collisions(loads, nodeOf);
  const threads: PlanThread[] = [];
  const selective = isSelective(job, cluster.now);
  for (const thread of job.threads.values()) {
    const move = thread.move === null ? undefined : job.moves.get(thread.move);
    const node = nodeOf(move?.to ?? thread.member);
    if (!nodes.has(node)) continue;
    const load = loads.threads.get(thread.id);
    const collides = taken.get(thread.id) ?? new Set<string>();
    for (const [member, until] of thread.avoid) if (until > cluster.now) collides.add(nodeOf(member));
    threads.push({
      id: thread.id,
      node,
      cpu: load?.cpu ?? null,
      waited: load?.waited ?? 0,
      bytes: load?.bytes ?? 0,
      held: move ? `it is moving from ${nodeOf(move.from)}` : whyHeld(cluster, thread, nodes.get(node), cooldown),
      collides,
      barred: selective ? barredFrom(cluster, job, thread, nodes.keys()) : undefined,
    });
  }
  return { nodes: [...nodes.values()], threads, sharing: named(job, sharing) };
}

function barredFrom(cluster: Cluster, job: Job, thread: Thread, nodes: Iterable<string>): Set<string> {
  return new Set([...nodes].filter(node => whyNotThere(job, thread, node, cluster.now) !== null));
}

function whyHeld(cluster: Cluster, thread: Thread, node: PlanNode | undefined, cooldown: number): string | null {
  const { now } = cluster;
  if (!thread.movable) return 'it cannot be moved';
  if (thread.retryAt > now) return thread.pinned ?? 'it could not be moved a moment ago';
  if (
    node &&
    !node.open &&
    cluster.nodes.get(node.id)?.state === 'active' &&
    cluster.nodes.get(node.id)?.link === 'down'
  )
    return 'its node is not connected';
  if (node?.open && thread.kept) return 'it was put there with dmi move';
  if (node?.open && now - thread.movedAt < cooldown * 1000) return 'it was moved lately';
  return null;
}

/** Which threads find their addresses taken on which nodes, by the last report of them. */
function collisions(loads: Loads, nodeOf: (member: number) => string): Map<string, Set<string>> {
  const ranges: { base: number; end: number; thread: string; node: string }[] = [];
  for (const [thread, { member, ranges: own }] of loads.threads)
    for (const [base, size] of own) ranges.push({ base, end: base + size, thread, node: nodeOf(member) });
  ranges.sort((a, b) => a.base - b.base);
  const found = new Map<string, Set<string>>();
  const note = (thread: string, node: string) => {
    const nodes = found.get(thread) ?? new Set();
    found.set(thread, nodes.add(node));
  };
  let open: typeof ranges = [];
  for (const range of ranges) {
    open = open.filter(({ end }) => end > range.base);
    for (const other of open) {
      if (other.thread === range.thread || other.node === range.node) continue;
      note(other.thread, range.node);
      note(range.thread, other.node);
    }
    open.push(range);
  }
  return found;
}

/** Threads that a job's options name by their number in the job, by their ids. */
function named(job: Job, sharing: BalanceOptions['sharing']): Sharing[] {
  if (sharing.length === 0) return [];
  const order = (id: string) => id.split('.').map(Number) as [number, number];
  const ranks = [...job.first].sort((a, b) => {
    const [[x, i], [y, j]] = [order(a), order(b)];
    return x - y || i - j;
  });
  const id = (one: number | string) => (typeof one === 'number' ? (ranks[one] ?? '') : one);
  return sharing.map(([a, b, bytes]): Sharing => [id(a), id(b), bytes]);
}
