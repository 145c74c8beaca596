import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { advanceHost } from '../src/cluster/lifecycle.js';
import { POLICIES } from '../src/plan/options.js';
import { Model } from './model.js';

/** A generator from a seed, so that a failing case can be replayed. */
function dice(seed: number) {
  let state = seed >>> 0 || 1;
  return {
    pick(n: number): number {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return (state >>> 0) % n;
    },
  };
}

/** What must be true whenever everything has been delivered. */
function checkAtRest(model: Model): void {
  expect(model.misfits).toEqual([]);
  for (const [job, alive] of model.alive) {
    const known = model.cluster.jobs.get(job);
    const where = model.where(job);
    // No thread is lost, none is twice: what hosts run, what was started, and what the coordinator knows are the same.
    expect([...where.keys()].sort()).toEqual([...alive].sort());
    expect([...(known?.threads.keys() ?? [])].sort()).toEqual([...alive].sort());
    for (const [id, member] of where) expect(known?.threads.get(id)?.member).toBe(member);
    for (const host of known?.hosts.values() ?? []) {
      expect([...host.threads].sort()).toEqual(
        [...where]
          .filter(([, member]) => member === host.member)
          .map(([id]) => id)
          .sort(),
      );
      expect([host.leaving, host.coming]).toEqual([0, 0]);
    }
    expect(known?.moves.size ?? 0).toBe(0);
  }
  for (const node of model.cluster.nodes.values()) expect(node.state).toBe('active');
}

function checkBalanced(model: Model): void {
  for (const job of model.cluster.jobs.values()) {
    const load = [...model.cluster.nodes.values()].map(node => {
      const threads = [...job.hosts.values()]
        .filter(host => host.node === node.name)
        .reduce((sum, host) => sum + host.threads.size, 0);
      return { threads, cores: node.info.cores };
    });
    for (const a of load)
      for (const b of load) expect((b.threads + 1) * a.cores).toBeGreaterThanOrEqual(a.threads * b.cores);
    // Homes are members that are there, no extra hosts, in even shares.
    const homes = new Set(job.homes);
    for (const home of homes) expect(job.hosts.get(home)).toMatchObject({ lite: false, state: 'active' });
    expect(homes.size).toBe(model.cluster.nodes.size);
  }
}

const action = fc.constantFrom(
  'join',
  'drain',
  'keep',
  'spawn',
  'spawn',
  'exit',
  'deliver',
  'deliver',
  'deliver',
  'deliver',
  'wander',
  'wander',
  'tick',
  'submit',
);

type Action = (typeof action extends fc.Arbitrary<infer A> ? A : never) | 'crash';

describe('the coordinator state machine', () => {
  it('loses no thread and ends even (by any policy: at rest), whatever joins, drains, moves and fails in whatever order', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1 }), fc.array(action, { minLength: 10, maxLength: 150 }), (seed, actions) => {
        const balance = POLICIES[seed % POLICIES.length] ?? 'threads';
        const model = new Model(dice(seed), { balance });
        model.join();
        model.submit(6);
        for (const what of actions) {
          if (what === 'join' && model.cluster.nodes.size < 8) model.join();
          if (what === 'drain') {
            const names = [...model.cluster.nodes.keys()];
            model.drain(names[seed % names.length] as string);
          }
          if (what === 'keep') {
            const [draining] = [...model.cluster.nodes.values()].filter(({ state }) => state === 'draining');
            if (draining) model.keep(draining.name);
          }
          if (what === 'spawn') model.spawnThread();
          if (what === 'wander') model.wander();
          if (what === 'exit') model.exitThread(false);
          if (what === 'deliver') model.deliver();
          if (what === 'tick') model.tick(100);
          if (what === 'submit' && model.cluster.jobs.size < 3) model.submit(3, 'main');
        }
        model.settle();
        checkAtRest(model);
        if (balance === 'threads') checkBalanced(model);
        const jobs = [...model.cluster.jobs.keys()];
        for (const job of jobs) model.exitAll(job);
        model.settle();
        expect(model.cluster.jobs.size).toBe(0);
        expect(model.hosts.size).toBe(0);
        expect(model.cluster.history.map(({ state, reason }) => [state, reason])).toEqual(
          jobs.map(() => ['done', null]),
        );
      }),
      { numRuns: 300 },
    );
  });

  it('is rebuilt exactly from what agents report, whenever it is killed and started anew', () => {
    const withCrashes = fc.oneof({ weight: 12, arbitrary: action }, { weight: 1, arbitrary: fc.constant('crash') });
    fc.assert(
      fc.property(fc.integer({ min: 1 }), fc.array(withCrashes, { minLength: 10, maxLength: 150 }), (seed, actions) => {
        const model = new Model(dice(seed), { store: seed % 2 === 0 });
        const drawn = dice(seed + 1);
        model.join();
        model.submit(6);
        let views = new Map<string, number>();
        for (const what of actions) {
          if (what === 'join' && model.inbox.size < 8) model.join();
          if (what === 'drain') {
            const names = [...model.cluster.nodes.keys()];
            if (names.length > 0) model.drain(names[drawn.pick(names.length)] as string);
          }
          if (what === 'keep') {
            const [draining] = [...model.cluster.nodes.values()].filter(({ state }) => state === 'draining');
            if (draining) model.keep(draining.name);
          }
          if (what === 'spawn') model.spawnThread();
          if (what === 'exit') model.exitThread(true);
          if (what === 'wander') model.wander();
          if (what === 'deliver') for (let i = 0; i < 10; i++) model.deliver();
          if (what === 'tick') model.tick(100);
          if (what === 'submit' && model.cluster.jobs.size < 3 && model.cluster.nodes.size > 0) model.submit(3, 'main');
          if (what === 'crash') {
            views = new Map([...model.cluster.jobs.values()].map(({ id, epoch }) => [id, epoch]));
            model.crash();
          }
        }
        model.settle();
        checkAtRest(model);
        model.join(); // evens out what threads that moved on their own account have left uneven
        model.settle();
        checkAtRest(model);
        checkBalanced(model);
        for (const job of model.cluster.jobs.values()) {
          expect(job).toMatchObject({ state: 'running', recovery: null });
          expect(job.epoch).toBeGreaterThanOrEqual(Math.min(1, views.get(job.id) ?? 0));
        }
        for (const job of model.cluster.jobs.keys()) model.exitAll(job);
        if (drawn.pick(2) === 1) {
          for (let i = drawn.pick(40); i > 0; i--) model.deliver();
          model.crash();
        }
        model.settle();
        expect(model.cluster.jobs.size).toBe(0);
        expect(model.hosts.size).toBe(0);
        expect(model.memories.size).toBe(0);
        // Of jobs that are over and nodes that have left, outcomes stay, and nothing else.
        if (seed % 2 === 0)
          expect([...model.records.keys()].sort()).toEqual(
            model.cluster.history.map(({ job }) => `outcome/${job}`).sort(),
          );
        for (const { state, reason } of model.cluster.history) {
          // A job whose first view nobody got cannot be told from one that some got, and one that no agent had heard of is lost.
          if (!reason?.includes('while the job was starting') && !reason?.includes('none of its nodes came back'))
            expect([state, reason]).toEqual(['done', null]);
        }
      }),
      {
        numRuns: 300,
        examples: [
          // a host that was stopped before it had entered a view, because its node was leaving
          [1093994385, 'submit join deliver drain join deliver join join crash join join join join'.split(' ')],
          // a host that came back when its job was over
          [
            779808710,
            (
              'wander wander submit wander exit deliver wander deliver spawn exit spawn join wander spawn spawn deliver ' +
              'spawn tick spawn spawn deliver deliver spawn exit submit crash'
            ).split(' '),
          ],
        ] as [number, Action[]][],
      },
    );
  });

  it('tells members the difference only: the whole view goes to those that enter', () => {
    const model = new Model(dice(7));
    for (let i = 0; i < 20; i++) model.join();
    model.submit(40);
    model.settle();
    const fulls: number[] = [];
    const name = model.join();
    for (;;) {
      for (const queue of model.inbox.values()) {
        for (const body of queue)
          if (body.t === 'to-host' && body.message.t === 'view' && body.message.full) fulls.push(body.member);
      }
      if (fulls.length > 0) break;
      if (!model.deliver()) model.tick(400);
    }
    const job = [...model.cluster.jobs.values()][0];
    const newest = [...(job?.hosts.values() ?? [])].find(host => host.node === name);
    expect(new Set(fulls)).toEqual(new Set([newest?.member]));
  });

  it('keeps a node whose drain is cancelled, with threads on it again', () => {
    const model = new Model(dice(5), { cores: 1 });
    for (let i = 0; i < 3; i++) model.join();
    const id = model.submit(9);
    model.settle();
    model.drain('n1');
    model.tick(20);
    for (let i = 0; i < 12; i++) model.deliver();
    model.keep('n1');
    model.settle();
    expect(model.released).toEqual([]);
    expect(model.refusals).toEqual(['cancelled']);
    checkAtRest(model);
    checkBalanced(model);
    const on = [...(model.cluster.jobs.get(id)?.hosts.values() ?? [])].filter(host => host.node === 'n1');
    expect(on.reduce((sum, { threads }) => sum + threads.size, 0)).toBe(3);
    model.keep('n1');
    expect(model.refusals).toEqual(['cancelled', 'refused']);
  });

  it('makes one view of many drains, and of many joins, that come together', () => {
    const model = new Model(dice(11));
    for (let i = 0; i < 30; i++) model.join();
    const id = model.submit(60);
    model.settle();
    const epoch = () => model.cluster.jobs.get(id)?.epoch ?? 0;
    const before = epoch();
    for (let i = 1; i <= 10; i++) model.drain(`n${i}`);
    model.tick(20);
    expect(epoch()).toBe(before + 1);
    model.settle();
    expect(model.released).toHaveLength(10);
    const drained = epoch();
    for (let i = 0; i < 10; i++) model.join();
    while (model.deliver());
    model.tick(20);
    expect(epoch()).toBe(drained + 1);
    model.settle();
    checkAtRest(model);
    checkBalanced(model);
  });

  it('moves no more threads than needed when a node joins while threads are moving to another', () => {
    for (let seed = 1; seed <= 200; seed++) {
      const model = new Model(dice(seed), { cores: 1, luck: false });
      model.join();
      model.join();
      model.submit(8);
      model.settle();
      model.join();
      for (let i = seed % 40; i > 0; i--) model.deliver();
      model.tick(400);
      for (let i = seed % 7; i > 0; i--) model.deliver();
      model.join();
      model.settle();
      const moved = model.events.filter(({ event }) => event === 'moved').length;
      expect({ seed, moved }).toEqual({ seed, moved: 4 });
    }
  });

  it('never uses a member id twice', () => {
    const model = new Model(dice(3));
    model.join();
    const job = model.submit(2);
    model.settle();
    for (let i = 0; i < 5; i++) {
      model.join();
      model.settle();
      model.drain([...model.cluster.nodes.keys()][0] as string);
      model.settle();
    }
    const ids = [...(model.spawned.get(job) ?? [])].sort((a, b) => a - b);
    expect(ids.length).toBeGreaterThan(5);
    expect(ids).toEqual(ids.map((_, i) => i));
  });

  it('throws on an illegal transition, with both names', () => {
    expect(() => advanceHost({ state: 'gone' }, 'active', 'j1/0')).toThrow('host j1/0: gone -> active');
  });
});
