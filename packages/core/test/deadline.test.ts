import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { drainOrder, drainSeconds } from '../src/plan/drain.js';
import { Model } from './model.js';

const threads = fc.array(
  fc.integer({ min: 0, max: 2 ** 34 }).map(bytes => ({ bytes })),
  { maxLength: 40 },
);
const rate = fc.integer({ min: 1e6, max: 1e10 });

/** Those that are through when the time is up, one after the other. */
function saved(order: readonly { bytes: number }[], seconds: number, bytesPerSecond: number): number {
  let n = 0;
  while (n < order.length && drainSeconds(order.slice(0, n + 1), 0, bytesPerSecond) <= seconds) n++;
  return n;
}

describe('the order in which threads leave', () => {
  it('saves all that can be saved, and as many as possible when not all can', () => {
    fc.assert(
      fc.property(threads, rate, fc.double({ min: 0.1, max: 600, noNaN: true }), (list, perSecond, seconds) => {
        const order = drainOrder(list, seconds, perSecond);
        const smallest = [...list].sort((a, b) => a.bytes - b.bytes);
        expect([...order].sort((a, b) => a.bytes - b.bytes)).toEqual(smallest);
        expect(saved(order, seconds, perSecond)).toBe(saved(smallest, seconds, perSecond));
      }),
    );
  });

  it('has the largest first while everything fits, or nobody knows', () => {
    const list = [1, 3, 2].map(bytes => ({ bytes: bytes * 1e6 }));
    const order = (seconds: number | null, perSecond: number | null) =>
      drainOrder(list, seconds, perSecond).map(({ bytes }) => bytes / 1e6);
    expect(order(60, 1e6)).toEqual([3, 2, 1]);
    expect(order(60, null)).toEqual([3, 2, 1]);
    expect(order(null, 1e6)).toEqual([3, 2, 1]);
    expect(order(4, 1e6)).toEqual([1, 2, 3]);
  });
});

describe('a node with a deadline', () => {
  it('reports once what was left when the time was up, goes on, and leaves', () => {
    const model = new Model({ pick: () => 0 }, { cores: 1 });
    const [a] = [model.join(), model.join()];
    model.submit(4);
    model.settle();
    model.drain(a as string, 5);
    const held = model.inbox.get(a as string) ?? [];
    // The agent does not hear of it: nothing moves.
    model.inbox.set(a as string, []);
    model.tick(5_001);
    model.tick(5_001);
    const overdue = model.events.filter(({ event }) => event === 'drain-overdue');
    expect(overdue).toMatchObject([{ node: a, threads: 2, left: [{ job: 'j1' }, { job: 'j1' }] }]);
    expect(model.refusals).toEqual(['timeout']);
    model.inbox.get(a as string)?.unshift(...held);
    model.settle();
    expect(model.released).toEqual([a]);
  });

  it('has the deadline that is sooner, and none after the drain was cancelled', () => {
    const model = new Model({ pick: () => 0 }, { cores: 1 });
    const [a] = [model.join(), model.join()];
    model.submit(2);
    model.settle();
    const left = () => (model.cluster.nodes.get(a as string)?.leaveBy ?? 0) - model.cluster.now;
    model.drain(a as string, 100);
    model.drain(a as string, 10);
    model.drain(a as string, 50);
    expect(Math.round(left() / 1000)).toBe(10);
    model.keep(a as string);
    expect(model.cluster.nodes.get(a as string)?.leaveBy).toBeNull();
  });
});
