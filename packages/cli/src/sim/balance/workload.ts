import type { Happening, Trace } from './trace.js';

export interface Shape {
  threads: number;
  nodes: number;
  cores: number;
  iterations: number;
  /** Core-seconds of all threads together in an iteration. */
  work: number;
  bytes: number;
  seed: number;
  /** Nodes are reclaimed and replaced during the run. */
  spot: boolean;
}

export const WORKLOADS = ['fem', 'uniform', 'random'] as const;
export type Workload = (typeof WORKLOADS)[number];

/** A job to simulate; the same shape and seed give the same one. */
export function generate(workload: Workload, shape: Shape): Trace {
  const { nodes, cores, iterations } = shape;
  const shares = SHARES[workload](shape.threads, random(shape.seed));
  const sum = shares.reduce((a, b) => a + b, 0);
  return {
    nodes: Array.from({ length: nodes }, (_, i) => ({ name: `node-${i + 1}`, cores })),
    threads: shares.map(share => ({ work: (shape.work * share) / sum, bytes: shape.bytes })),
    iterations,
    // Neighbours exchange their boundary.
    sharing: shares.slice(1).map((_, i): [number, number, number] => [i, i + 1, shape.bytes / 64]),
    network: 1e9,
    events: shape.spot ? spot(shape) : [],
  };
}

const SHARES: Record<Workload, (threads: number, draw: () => number) => number[]> = {
  /**
   * A finite-element partition into slabs of equal thickness along a bar whose mesh is refined around a hole at a quarter of its
   * length: the number of elements, and with it the work, falls with the square of the distance from the hole.
   */
  fem: threads =>
    Array.from({ length: threads }, (_, i) => {
      const x = (i + 0.5) / threads;
      return 1 / ((x - 0.25) ** 2 + 0.15 ** 2);
    }),
  uniform: threads => Array(threads).fill(1),
  random: (threads, draw) => Array.from({ length: threads }, () => 0.2 + draw() * 1.8),
};

/** A third of the way through a node is reclaimed with 30 s notice; later another one joins. */
function spot({ nodes, cores, iterations, work }: Shape): Happening[] {
  const length = (iterations * work) / (nodes * cores);
  return [
    { at: length / 3, reclaim: `node-${nodes}`, notice: 30 },
    { at: (length * 2) / 3, join: { name: `node-${nodes + 1}`, cores } },
  ];
}

/** Numbers in [0, 1) from a seed (mulberry32). */
function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
