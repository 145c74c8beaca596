import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { planShifts } from '../src/plan/moves.js';
import { applyRanges, assignShards, noHomes, shardRanges } from '../src/plan/shards.js';
import { type NodeLoad, placeNew, targets } from '../src/plan/targets.js';

const members = fc.uniqueArray(fc.nat(10_000), { minLength: 1, maxLength: 60 });

function countHomes(homes: Int32Array): Map<number, number> {
  const counts = new Map<number, number>();
  for (const home of homes) counts.set(home, (counts.get(home) ?? 0) + 1);
  return counts;
}

describe('assignShards', () => {
  it('gives every member floor or ceil of its share, whatever came before', () => {
    fc.assert(
      fc.property(members, members, (before, after) => {
        const homes = assignShards(assignShards(noHomes(1024), before), after);
        const counts = countHomes(homes);
        for (const member of after) {
          const n = counts.get(member) ?? 0;
          expect(n === Math.floor(1024 / after.length) || n === Math.ceil(1024 / after.length)).toBe(true);
        }
        expect([...counts.keys()].every(member => after.includes(member))).toBe(true);
      }),
    );
  });

  it('moves only what a member that left had, and what a new one is due', () => {
    fc.assert(
      fc.property(members, members, (before, after) => {
        const old = assignShards(noHomes(1024), before);
        const homes = assignShards(old, after);
        const moved = [...homes].filter((home, shard) => home !== old[shard]).length;
        const held = countHomes(old);
        const kept = after.filter(member => held.has(member));
        const orphans = [...old].filter(home => !after.includes(home)).length;
        // A member that stays gives away only what is above ceil; new ones cannot be filled with less.
        const ceil = Math.ceil(1024 / after.length);
        const floor = Math.floor(1024 / after.length);
        const newcomers = after.length - kept.length;
        expect(moved).toBeGreaterThanOrEqual(orphans);
        expect(moved).toBeLessThanOrEqual(
          Math.max(orphans, newcomers * ceil) +
            kept.reduce((sum, m) => sum + Math.max(0, (held.get(m) ?? 0) - floor), 0),
        );
        if (newcomers === 0 && orphans === 0) expect(moved).toBe(0);
      }),
    );
  });

  it('moves exactly the share of one that joins, and of one that leaves', () => {
    const eight = assignShards(noHomes(1024), [0, 1, 2, 3, 4, 5, 6, 7]);
    const nine = assignShards(eight, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    expect([...nine].filter((home, shard) => home !== eight[shard]).length).toBe(Math.floor(1024 / 9));
    const seven = assignShards(eight, [0, 1, 2, 4, 5, 6, 7]);
    expect([...seven].filter((home, shard) => home !== eight[shard]).length).toBe(128);
  });

  it('is told as ranges, and read back', () => {
    fc.assert(
      fc.property(members, members, (before, after) => {
        const old = assignShards(noHomes(1024), before);
        const homes = assignShards(old, after);
        expect(applyRanges(old, shardRanges(old, homes))).toEqual(homes);
        expect(applyRanges(noHomes(1024), shardRanges(null, homes))).toEqual(homes);
      }),
    );
  });
});

const load = fc.record({
  cores: fc.integer({ min: 1, max: 64 }),
  threads: fc.nat(300),
  fixedShare: fc.double({ min: 0, max: 1, noNaN: true }),
  open: fc.boolean(),
});
const cluster = fc
  .array(load, { minLength: 1, maxLength: 40 })
  .map(list =>
    list.map(
      ({ cores, threads, fixedShare, open }, i): NodeLoad => ({
        id: `n${i}`,
        cores,
        threads,
        fixed: Math.floor(threads * fixedShare),
        open,
      }),
    ),
  )
  .filter(list => list.some(node => node.open));
const free = cluster.map(list => list.map(node => ({ ...node, fixed: 0 })));

function apply(nodes: readonly NodeLoad[]): NodeLoad[] {
  const threads = new Map(nodes.map(node => [node.id, node.threads]));
  for (const { from, to, threads: n } of planShifts(nodes)) {
    threads.set(from, (threads.get(from) ?? 0) - n);
    threads.set(to, (threads.get(to) ?? 0) + n);
  }
  return nodes.map(node => ({ ...node, threads: threads.get(node.id) ?? 0 }));
}

describe('a plan', () => {
  it('loses no thread, takes no fixed one, and puts none on a node that is leaving', () => {
    fc.assert(
      fc.property(cluster, nodes => {
        const after = apply(nodes);
        expect(after.reduce((sum, { threads }) => sum + threads, 0)).toBe(
          nodes.reduce((sum, { threads }) => sum + threads, 0),
        );
        for (const [i, node] of after.entries()) {
          expect(node.threads).toBeGreaterThanOrEqual(node.fixed);
          if (!node.open) expect(node.threads).toBe(nodes[i]?.fixed);
        }
      }),
    );
  });

  it('never leaves a node more loaded than need be: taking one from it would make another at least as loaded', () => {
    fc.assert(
      fc.property(free, nodes => {
        const after = apply(nodes).filter(node => node.open);
        for (const a of after)
          for (const b of after) expect((b.threads + 1) * a.cores).toBeGreaterThanOrEqual(a.threads * b.cores);
      }),
    );
  });

  it('converges: after it there is nothing to move', () => {
    fc.assert(
      fc.property(cluster, nodes => {
        expect(planShifts(apply(nodes))).toEqual([]);
      }),
    );
  });

  it('moves no more threads than the sum of what is too much', () => {
    fc.assert(
      fc.property(cluster, nodes => {
        const want = targets(nodes);
        const over = nodes.reduce((sum, { id, threads }) => sum + Math.max(0, threads - (want.get(id) ?? 0)), 0);
        expect(planShifts(nodes).reduce((sum, { threads }) => sum + threads, 0)).toBe(over);
      }),
    );
  });

  it('brings no thread back and forth: no node both gives and takes', () => {
    fc.assert(
      fc.property(cluster, nodes => {
        const shifts = planShifts(nodes);
        const givers = new Set(shifts.map(({ from }) => from));
        expect(shifts.some(({ to }) => givers.has(to))).toBe(false);
      }),
    );
  });

  it('leaves a cluster with nowhere to go as it is', () => {
    expect(planShifts([{ id: 'a', cores: 2, threads: 8, fixed: 0, open: false }])).toEqual([]);
  });
});

describe('placeNew', () => {
  it('spreads threads by cores, on nodes that take some only', () => {
    const nodes: NodeLoad[] = [
      { id: 'a', cores: 2, threads: 0, fixed: 0, open: true },
      { id: 'b', cores: 4, threads: 0, fixed: 0, open: true },
      { id: 'c', cores: 9, threads: 0, fixed: 0, open: false },
    ];
    expect(placeNew(nodes, 12)).toEqual(
      new Map([
        ['a', 4],
        ['b', 8],
      ]),
    );
  });
});
