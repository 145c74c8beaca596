/** What the planner needs to know of a node, for one job. */
export interface NodeLoad {
  id: string;
  cores: number;
  /** Threads here, those on their way here included and those on their way elsewhere not. */
  threads: number;
  /** How many of them cannot or must not be moved. */
  fixed: number;
  /** False: takes no threads, and gives up the ones that can be moved (it is leaving). */
  open: boolean;
}

/**
 * How many threads each node should have so that threads per core are as even as whole threads allow: no other division has
 * a smaller greatest load, and where several are as good, the one closest to the present is taken, so that a balanced
 * job stays as it is.
 *
 * Method: D'Hondt's, with the cores as votes. It never gives a node less than the whole part of its proportional share,
 * so it may start there and hand out the rest one by one.
 */
export function targets(nodes: readonly NodeLoad[]): Map<string, number> {
  const result = new Map<string, number>();
  for (const node of nodes) if (!node.open) result.set(node.id, node.fixed);
  let open = nodes.filter(node => node.open);
  const total = nodes.reduce((sum, node) => sum + node.threads, 0);
  if (open.length === 0) {
    for (const node of nodes) result.set(node.id, node.threads);
    return result;
  }
  let rest = total - nodes.reduce((sum, node) => sum + (node.open ? 0 : node.fixed), 0);
  // A node with more immovable threads than its share keeps them; the others share what is left.
  for (;;) {
    const shares = divide(rest, open);
    const stuck = open.filter((node, i) => node.fixed > (shares[i] as number));
    if (stuck.length === 0) {
      for (const [i, node] of open.entries()) result.set(node.id, shares[i] as number);
      return result;
    }
    for (const node of stuck) {
      result.set(node.id, node.fixed);
      rest -= node.fixed;
    }
    open = open.filter(node => !stuck.includes(node));
    if (open.length === 0) return result;
  }
}

function divide(total: number, nodes: readonly NodeLoad[]): number[] {
  const cores = nodes.reduce((sum, node) => sum + node.cores, 0);
  const shares = nodes.map(node => Math.floor((total * node.cores) / cores));
  let rest = total - shares.reduce((sum, share) => sum + share, 0);
  // The nodes in the order in which they get the next thread, as a binary heap.
  const heap = nodes.map((_, i) => i);
  for (let at = (heap.length >> 1) - 1; at >= 0; at--) sink(heap, at, nodes, shares);
  for (; rest > 0; rest--) {
    const first = heap[0] as number;
    shares[first] = (shares[first] as number) + 1;
    sink(heap, 0, nodes, shares);
  }
  return shares;
}

function sink(heap: number[], start: number, nodes: readonly NodeLoad[], shares: readonly number[]): void {
  for (let at = start; ; ) {
    let least = at;
    for (const child of [2 * at + 1, 2 * at + 2]) {
      if (child < heap.length && before(nodes, shares, heap[child] as number, heap[least] as number)) least = child;
    }
    if (least === at) return;
    const moved = heap[at] as number;
    heap[at] = heap[least] as number;
    heap[least] = moved;
    at = least;
  }
}

/** Should node i get the next thread rather than node j? */
function before(nodes: readonly NodeLoad[], shares: readonly number[], i: number, j: number): boolean {
  const a = nodes[i] as NodeLoad;
  const b = nodes[j] as NodeLoad;
  const x = shares[i] as number;
  const y = shares[j] as number;
  const difference = (x + 1) * b.cores - (y + 1) * a.cores;
  if (difference !== 0) return difference < 0;
  const keeps = a.threads > x;
  if (keeps !== b.threads > y) return keeps;
  return i < j; // nodes come in a fixed order: the earlier one wins
}

/**
 * Where to put `n` new threads: how many each node gets on top of what it has.
 * Existing threads stay where they are.
 */
export function placeNew(nodes: readonly NodeLoad[], n: number): Map<string, number> {
  const open = nodes.filter(node => node.open);
  if (open.length === 0) return new Map();
  const counts = open.map(node => node.threads);
  const heap = open.map((_, i) => i);
  for (let at = (heap.length >> 1) - 1; at >= 0; at--) sink(heap, at, open, counts);
  for (let k = 0; k < n; k++) {
    const first = heap[0] as number;
    counts[first] = (counts[first] as number) + 1;
    sink(heap, 0, open, counts);
  }
  return new Map(open.map((node, i) => [node.id, (counts[i] as number) - node.threads]));
}
