import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type BalanceOptions, DEFAULT_BALANCE, POLICIES, type PolicyName } from '../src/plan/options.js';
import { plan } from '../src/plan/policy.js';
import { type PlannedMove, type PlanThread, pressures, type Snapshot, threadLoads } from '../src/plan/snapshot.js';

const nodes = fc.array(fc.record({ cores: fc.integer({ min: 1, max: 16 }), open: fc.boolean() }), {
  minLength: 1,
  maxLength: 12,
});

const snapshots = nodes
  .filter(list => list.some(({ open }) => open))
  .chain(list => {
    const name = fc.nat(list.length - 1).map(i => `n${i}`);
    const thread = fc.record({
      node: name,
      cpu: fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { freq: 10 }),
      bytes: fc.integer({ min: 4096, max: 2 ** 32 }),
      held: fc.option(fc.constant('it is pinned'), { freq: 5 }).map(h => h ?? null),
      collides: fc.uniqueArray(name, { maxLength: 2 }).map(names => new Set(names)),
    });
    return fc.array(thread, { maxLength: 60 }).chain(threads => {
      const ids = threads.map((_, i) => `${i}.1`);
      const id = fc.nat(Math.max(0, ids.length - 1)).map(i => `${i}.1`);
      return fc.array(fc.tuple(id, id, fc.double({ min: 0, max: 1e9, noNaN: true })), { maxLength: 30 }).map(
        (sharing): Snapshot => ({
          nodes: list.map((node, i) => ({ id: `n${i}`, ...node })),
          threads: threads.map((one, i) => ({ ...one, id: ids[i] as string, waited: 0 })),
          sharing,
        }),
      );
    });
  });
/** The same, where some threads cannot run on some nodes. */
const barring = snapshots.chain(snapshot => {
  const names = snapshot.nodes.map(({ id }) => id);
  const barred = fc.subarray(names).map(list => new Set(list));
  const { length } = snapshot.threads;
  return fc
    .array(fc.option(barred, { nil: undefined }), { minLength: length, maxLength: length })
    .map((all): Snapshot => ({ ...snapshot, threads: snapshot.threads.map((one, i) => ({ ...one, barred: all[i] })) }));
});
const policies = fc.constantFrom<PolicyName>(...POLICIES);
const options: BalanceOptions = DEFAULT_BALANCE;

function apply(snapshot: Snapshot, moves: readonly PlannedMove[]): Snapshot {
  const to = new Map(moves.map(move => [move.thread, move.to]));
  return { ...snapshot, threads: snapshot.threads.map(one => ({ ...one, node: to.get(one.id) ?? one.node })) };
}

/** Load per core of the nodes that are open. */
function open(snapshot: Snapshot): Map<string, number> {
  const all = pressures(snapshot, i => (snapshot.threads[i] as PlanThread).node);
  return new Map(snapshot.nodes.filter(node => node.open).map(({ id }) => [id, all.get(id) as number]));
}
const worst = (snapshot: Snapshot) => Math.max(...open(snapshot).values());
const stays = (snapshot: Snapshot): Snapshot => ({
  ...snapshot,
  nodes: snapshot.nodes.map(node => ({ ...node, open: true })),
});

describe('every policy', () => {
  it('moves no thread that is held, none to a node that is leaving, each at most once, and says where it is', () => {
    fc.assert(
      fc.property(policies, snapshots, (policy, snapshot) => {
        const moves = plan(policy, snapshot, options);
        const threads = new Map(snapshot.threads.map(one => [one.id, one]));
        const at = new Map(snapshot.nodes.map(node => [node.id, node]));
        expect(new Set(moves.map(({ thread }) => thread)).size).toBe(moves.length);
        for (const { thread, from, to, bytes, extraHost, why } of moves) {
          const one = threads.get(thread);
          expect(one).toMatchObject({ held: null, node: from, bytes });
          expect(to).not.toBe(from);
          expect(at.get(to)?.open).toBe(true);
          expect(extraHost).toBe(one?.collides.has(to));
          expect(why).not.toBe('');
        }
      }),
    );
  });

  it('takes every thread that can move off a node that is leaving', () => {
    fc.assert(
      fc.property(policies, snapshots, (policy, snapshot) => {
        const after = apply(snapshot, plan(policy, snapshot, options));
        const closed = new Set(snapshot.nodes.filter(node => !node.open).map(({ id }) => id));
        expect(after.threads.filter(({ node, held }) => closed.has(node) && held === null)).toEqual([]);
      }),
    );
  });

  it('moves no thread to where it cannot run, and off a node that is leaving all that can run elsewhere', () => {
    fc.assert(
      fc.property(policies, barring, (policy, snapshot) => {
        const moves = plan(policy, snapshot, options);
        const threads = new Map(snapshot.threads.map(one => [one.id, one]));
        expect(moves.filter(({ thread, to }) => threads.get(thread)?.barred?.has(to))).toEqual([]);
        const places = snapshot.nodes.filter(node => node.open).map(({ id }) => id);
        const left = apply(snapshot, moves).threads.filter(
          ({ node, held, barred }) => !places.includes(node) && held === null && places.some(id => !barred?.has(id)),
        );
        expect(left).toEqual([]);
      }),
    );
  });

  it('converges: a plan that was carried out leaves nothing to move', () => {
    fc.assert(
      fc.property(policies, snapshots, (policy, snapshot) => {
        // All measured: what the guess for the others is depends on nothing then.
        const known = { ...snapshot, threads: snapshot.threads.map(one => ({ ...one, cpu: one.cpu ?? 0.5 })) };
        expect(plan(policy, apply(known, plan(policy, known, options)), options)).toEqual([]);
      }),
    );
  });

  it('plans nothing where there is nowhere to go', () => {
    const thread = { id: '0.1', node: 'a', cpu: 1, waited: 0, bytes: 1, held: null, collides: new Set<string>() };
    for (const policy of POLICIES)
      expect(
        plan(policy, { nodes: [{ id: 'a', cores: 1, open: false }], threads: [thread], sharing: [] }, options),
      ).toEqual([]);
  });
});

describe('load', () => {
  it('never overloads: no node ends above the most loaded one there was, unless others had to be emptied', () => {
    fc.assert(
      fc.property(snapshots.map(stays), snapshot => {
        const before = worst(snapshot);
        const moves = plan('load', snapshot, options);
        const after = open(apply(snapshot, moves));
        for (const { to } of moves) expect(after.get(to)).toBeLessThanOrEqual(before + 1e-9);
      }),
    );
  });

  it('spreads what leaves a node: nothing that was taken in would be better off on another node', () => {
    fc.assert(
      fc.property(snapshots, snapshot => {
        const closed = new Set(snapshot.nodes.filter(node => !node.open).map(({ id }) => id));
        // Nothing but what is leaving.
        const alone = { ...snapshot, threads: snapshot.threads.filter(({ node }) => closed.has(node)) };
        const loads = new Map(alone.threads.map(({ id }, i) => [id, threadLoads(alone)[i] as number]));
        const moves = plan('load', alone, options);
        const after = open(apply(alone, moves));
        for (const { thread, to } of moves) {
          for (const { id, cores, open: takes } of alone.nodes)
            if (takes && id !== to)
              expect((after.get(id) ?? 0) + (loads.get(thread) ?? 0) / cores + 1e-9).toBeGreaterThanOrEqual(
                (after.get(to) ?? 0) * (1 - options.tolerance),
              );
        }
      }),
    );
  });

  it('moves no more bytes than needed: without any one of its moves a node would be loaded more than all are with it', () => {
    fc.assert(
      fc.property(snapshots.map(stays), snapshot => {
        const moves = plan('load', snapshot, options);
        if (moves.length === 0) return;
        const pressure = [...open(snapshot)];
        const cores = new Map(snapshot.nodes.map(node => [node.id, node.cores]));
        const total = pressure.reduce((sum, [id, p]) => sum + p * (cores.get(id) ?? 0), 0);
        const average = total / [...cores.values()].reduce((a, b) => a + b, 0);
        const accepted = Math.max(worst(apply(snapshot, moves)), average * (1 + options.tolerance / 2));
        const least = (one: Snapshot) => Math.min(...open(one).values());
        const wanted = Math.min(least(apply(snapshot, moves)), average * (1 - options.tolerance / 2));
        for (const left of moves) {
          const without = apply(
            snapshot,
            moves.filter(move => move !== left),
          );
          expect(worst(without) > accepted - 1e-9 || least(without) < wanted + 1e-9).toBe(true);
        }
      }),
    );
  });

  it('moves nothing within the tolerance, and nothing on nodes that have cores to spare', () => {
    fc.assert(
      fc.property(snapshots.map(stays), snapshot => {
        const [most, total] = [worst(snapshot), threadLoads(snapshot).reduce((a, b) => a + b, 0)];
        const average = total / snapshot.nodes.reduce((sum, { cores }) => sum + cores, 0);
        const least = Math.min(...open(snapshot).values());
        if (most > 0.5 && (most > average * (1 + options.tolerance) || least < average * (1 - options.tolerance)))
          return;
        expect(plan('load', snapshot, options)).toEqual([]);
      }),
    );
  });

  it('gives a node that joins many others its part, though none of them is far above the average', () => {
    const nodes = [...Array(21)].map((_, i) => ({ id: `n${i}`, cores: 1, open: true }));
    const threads = [...Array(200)].map((_, i) => ({
      id: `${i}.1`,
      node: `n${i % 20}`,
      cpu: 0.09,
      waited: 0,
      bytes: 1,
      held: null,
      collides: new Set<string>(),
    }));
    const snapshot = { nodes, threads, sharing: [] };
    const moves = plan('load', snapshot, options);
    expect(moves.length).toBe(9);
    expect(new Set(moves.map(({ to }) => to))).toEqual(new Set(['n20']));
    expect(plan('load', apply(snapshot, moves), options)).toEqual([]);
  });

  it('does not oscillate: when loads waver by 2 % after a plan, no thread goes back', () => {
    fc.assert(
      fc.property(
        snapshots.map(stays),
        fc.infiniteStream(fc.double({ min: 0.98, max: 1.02, noNaN: true })),
        (snapshot, noise) => {
          let now: Snapshot = { ...snapshot, threads: snapshot.threads.map(one => ({ ...one, cpu: one.cpu ?? 0.5 })) };
          const first = plan('load', now, options);
          const went = new Map(first.map(({ thread, from }) => [thread, from]));
          now = apply(now, first);
          for (let round = 0; round < 3; round++) {
            const threads = now.threads.map(one => ({ ...one, cpu: (one.cpu ?? 0) * (noise.next().value as number) }));
            const moves = plan('load', { ...now, threads }, options);
            for (const { thread, to } of moves) expect(went.get(thread)).not.toBe(to);
            now = apply(now, moves);
          }
        },
      ),
    );
  });

  it('goes by what threads use while some node has cores to spare, and by what they want besides when none has', () => {
    const thread = (id: string, node: string, cpu: number, waited: number): PlanThread => ({
      id,
      node,
      cpu,
      waited,
      bytes: 1,
      held: null,
      collides: new Set(),
    });
    const two = [
      { id: 'a', cores: 1, open: true },
      { id: 'b', cores: 1, open: true },
    ];
    // Eight that always want a core against one that does: both nodes are busy all the time.
    const busy = [...Array(8)].map((_, i) => thread(`0.${i}`, 'a', 1 / 8, 7 / 8));
    const crowded = { nodes: two, threads: [...busy, thread('1.1', 'b', 1, 0)], sharing: [] };
    const after = apply(crowded, plan('load', crowded, options));
    expect(after.threads.filter(({ node }) => node === 'b').length).toBeGreaterThanOrEqual(4);
    // Five and four in step with each other, all with the same work: there is nothing to gain.
    const stepping = [...Array(9)].map((_, i) => thread(`0.${i}`, i < 5 ? 'a' : 'b', 0.2, i < 5 ? 0.8 : 0.6));
    expect(plan('load', { nodes: two, threads: stepping, sharing: [] }, options)).toEqual([]);
  });
});

describe('affinity', () => {
  const base = { cpu: 0.5, waited: 0, held: null, collides: new Set<string>() };
  const two = [
    { id: 'a', cores: 2, open: true },
    { id: 'b', cores: 2, open: true },
  ];

  it('brings threads together that share pages, as far as load allows', () => {
    // 0 and 2, 1 and 3 work on the same pages; each pair is apart.
    const threads = ['a', 'a', 'b', 'b'].map((node, i) => ({ ...base, id: `${i}.1`, node, bytes: 1 << 20 }));
    const snapshot: Snapshot = {
      nodes: two,
      threads,
      sharing: [
        ['0.1', '2.1', 5e8],
        ['1.1', '3.1', 5e8],
      ],
    };
    const after = apply(snapshot, plan('affinity', snapshot, options));
    const at = new Map(after.threads.map(({ id, node }) => [id, node]));
    expect(at.get('0.1')).toBe(at.get('2.1'));
    expect(at.get('1.1')).toBe(at.get('3.1'));
    expect(plan('load', snapshot, options)).toEqual([]);
  });

  it('leaves a thread where it is when moving it costs more than it is worth', () => {
    const at = (bytes: number): Snapshot => ({
      nodes: two,
      threads: [0, 1, 2, 3].map(i => ({ ...base, cpu: 1, id: `${i}.1`, node: 'a', bytes })),
      sharing: [],
    });
    expect(plan('affinity', at(1 << 20), options)).toHaveLength(2);
    expect(plan('affinity', at(2 ** 40), options)).toEqual([]);
  });

  it('goes where no extra host is needed, if it can', () => {
    const three = [...two, { id: 'c', cores: 2, open: true }];
    const threads = [0, 1].map(i => ({ ...base, cpu: 1, id: `${i}.1`, node: 'a', bytes: 1, collides: new Set(['b']) }));
    const moves = plan('affinity', { nodes: three, threads, sharing: [] }, options);
    expect(moves).toMatchObject([{ to: 'c', extraHost: false }]);
  });

  it('makes the whole better with every plan: load, sharing and the cost of moving together', () => {
    fc.assert(
      fc.property(snapshots.map(stays), snapshot => {
        const known = { ...snapshot, threads: snapshot.threads.map(one => ({ ...one, cpu: one.cpu ?? 0.5 })) };
        const moves = plan('affinity', known, options);
        if (moves.length === 0) return;
        const cost = moves.reduce(
          (sum, { bytes, extraHost }) => sum + bytes / options.rate + (extraHost ? options.hostSeconds : 0),
          0,
        );
        expect(worth(known) - worth(apply(known, moves))).toBeGreaterThan(cost);
      }),
    );
  });

  /** Seconds lost over the horizon, by the formula of by-affinity.ts, computed anew. */
  function worth(snapshot: Snapshot): number {
    const pressure = open(snapshot);
    let [load, cores, squares] = [0, 0, 0];
    for (const node of snapshot.nodes) {
      const p = pressure.get(node.id) ?? 0;
      load += p * node.cores;
      cores += node.cores;
      squares += p * p * node.cores;
    }
    const at = new Map(snapshot.threads.map(({ id, node }) => [id, node]));
    const apart = snapshot.sharing.reduce((sum, [a, b, bytes]) => sum + (at.get(a) === at.get(b) ? 0 : bytes), 0);
    return (load > 0 ? (options.horizon * squares * cores) / (2 * load) : 0) + (options.horizon * apart) / options.rate;
  }
});

it('threads moves the smallest, as many as make threads per core even', () => {
  const threads = [3, 1, 2, 4].map((size, i) => ({
    id: `${i}.1`,
    node: 'a',
    cpu: 0,
    waited: 0,
    bytes: size,
    held: null,
    collides: new Set<string>(),
  }));
  const nodes = ['a', 'b'].map(id => ({ id, cores: 1, open: true }));
  const moves = plan('threads', { nodes, threads, sharing: [] }, options);
  expect(moves.map(({ thread, bytes }) => [thread, bytes]).sort()).toEqual([
    ['1.1', 1],
    ['2.1', 2],
  ]);
  expect(plan('none', { nodes, threads, sharing: [] }, options)).toEqual([]);
});
