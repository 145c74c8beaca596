// What a policy decides about: a job's nodes and threads at one moment. Policies are pure functions of it.

export interface PlanNode {
  id: string;
  cores: number;
  /** False: takes no threads, and gives up those that can be moved (it is leaving, or its host is not in the view yet). */
  open: boolean;
}

export interface PlanThread {
  id: string;
  /** Where it is; where it is going to, if it is being moved. */
  node: string;
  /** Cores that it used lately, 0 to 1; null: not known yet. */
  cpu: number | null;
  /** Cores that it wanted besides and did not get, because others had them. */
  waited: number;
  /** What a move transfers. */
  bytes: number;
  /** Why it cannot or must not be moved now; null: it can. */
  held: string | null;
  /** Nodes where its addresses are taken, so that a move there needs one more host. */
  collides: ReadonlySet<string>;
  /** Nodes where it cannot go, because their processors lack something, or memory. */
  barred?: ReadonlySet<string> | undefined;
}

/** Two threads use the same pages: so many bytes per second go between them when they are on different nodes. */
export type Sharing = readonly [a: string, b: string, bytesPerSecond: number];

export interface Snapshot {
  nodes: readonly PlanNode[];
  threads: readonly PlanThread[];
  sharing: readonly Sharing[];
}

export interface PlannedMove {
  thread: string;
  from: string;
  to: string;
  bytes: number;
  /** `drain`: its node is leaving. */
  cause: 'drain' | 'balance';
  /** One sentence for people. */
  why: string;
  /** Its addresses are taken there. */
  extraHost: boolean;
}

/** A node's share of cores that is wanted of it: below this nobody waits for a core worth speaking of. */
const SATURATED = 0.9;

/**
 * How many cores each thread is counted as, by index. Where some node has cores to spare, it is what the thread used: threads
 * that wait for each other (at a barrier) use processor time in proportion to their work, however crowded their node.
 * Where no node has any, what a thread used says only how many it shared its core with: then what it waited for counts too. A
 * thread that was not measured yet counts as the average of those that were, or as one core.
 */
export function threadLoads({ nodes, threads }: Pick<Snapshot, 'nodes' | 'threads'>): number[] {
  const used = new Map<string, number>();
  let [sum, known] = [0, 0];
  for (const { node, cpu } of threads) {
    if (cpu === null) continue;
    used.set(node, (used.get(node) ?? 0) + cpu);
    sum += cpu;
    known++;
  }
  const spare = nodes.some(({ id, cores, open }) => open && (used.get(id) ?? 0) < SATURATED * cores);
  if (!spare) for (const { cpu, waited } of threads) if (cpu !== null) sum += waited;
  const guess = known === 0 ? 1 : sum / known;
  return threads.map(({ cpu, waited }) => (cpu === null ? guess : spare ? cpu : cpu + waited));
}

/** Load per core of each node, as the threads are. */
export function pressures(snapshot: Snapshot, where: (thread: number) => string): Map<string, number> {
  const loads = threadLoads(snapshot);
  const sums = new Map(snapshot.nodes.map(({ id }) => [id, 0]));
  for (let i = 0; i < loads.length; i++) {
    const node = where(i);
    sums.set(node, (sums.get(node) ?? 0) + (loads[i] as number));
  }
  for (const { id, cores } of snapshot.nodes) sums.set(id, (sums.get(id) ?? 0) / cores);
  return sums;
}
