import { type NodeLoad, targets } from './targets.js';

/** So many threads are to go from one node to another. */
export interface Shift {
  from: string;
  to: string;
  threads: number;
}

/**
 * The fewest moves that make the job balanced (see `targets`), as counts between nodes; which threads they are is the
 * caller's choice. Nodes that are leaving come first, then the fullest. Empty when nothing needs to move.
 */
export function planShifts(nodes: readonly NodeLoad[]): Shift[] {
  const want = targets(nodes);
  const over: { node: NodeLoad; n: number }[] = [];
  const under: { node: NodeLoad; n: number }[] = [];
  for (const node of nodes) {
    const n = node.threads - (want.get(node.id) ?? 0);
    if (n > 0) over.push({ node, n });
    else if (n < 0) under.push({ node, n: -n });
  }
  const load = ({ threads, cores }: NodeLoad) => threads / cores;
  over.sort((a, b) => Number(a.node.open) - Number(b.node.open) || load(b.node) - load(a.node));
  under.sort((a, b) => load(a.node) - load(b.node));
  const shifts: Shift[] = [];
  let at = 0;
  for (const source of over) {
    while (source.n > 0) {
      const sink = under[at];
      if (!sink) return shifts;
      const threads = Math.min(source.n, sink.n);
      shifts.push({ from: source.node.id, to: sink.node.id, threads });
      source.n -= threads;
      sink.n -= threads;
      if (sink.n === 0) at++;
    }
  }
  return shifts;
}
