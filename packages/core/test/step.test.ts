import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { advanceHost } from '../src/cluster/lifecycle.js';
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

describe('the coordinator state machine', () => {
  it('loses no thread and ends even, whatever joins, drains, moves and fails in whatever order', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1 }), fc.array(action, { minLength: 10, maxLength: 150 }), (seed, actions) => {
        const model = new Model(dice(seed));
        model.join();
        model.submit(6);
        for (const what of actions) {
          if (what === 'join' && model.cluster.nodes.size < 8) model.join();
          if (what === 'drain') {
            const names = [...model.cluster.nodes.keys()];
            model.drain(names[seed % names.length] as string);
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
        checkBalanced(model);
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
      if (fulls.length > 0 || !model.deliver()) break;
    }
    const job = [...model.cluster.jobs.values()][0];
    const newest = [...(job?.hosts.values() ?? [])].find(host => host.node === name);
    expect(new Set(fulls)).toEqual(new Set([newest?.member]));
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
