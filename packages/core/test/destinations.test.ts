import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { POLICIES } from '../src/plan/options.js';
import { Model } from './model.js';

// Nodes whose processors differ: a thread goes only where everything is that it had where it started.

const OLD = ['avx2', 'sse2'];
const NEW = ['avx2', 'avx512f', 'sse2'];
const dice = { pick: () => 0 };

/** Threads per node, with where they started. */
function where(model: Model, job: string): Record<string, string[]> {
  const found: Record<string, string[]> = {};
  for (const [thread, member] of model.where(job)) {
    const node = model.hosts.get(`${job}/${member}`)?.node ?? '?';
    found[node] = [...(found[node] ?? []), thread].sort();
  }
  return found;
}

function started(balance: (typeof POLICIES)[number], ...nodes: string[][]): { model: Model; job: string } {
  const model = new Model(dice, { cores: 1, luck: false, balance });
  for (const features of nodes) model.join(features);
  const job = model.submit(4);
  model.settle();
  return { model, job };
}

describe.each(POLICIES)('nodes that differ, balanced by %s', balance => {
  it('drain to those that have what a thread may use, and no other is asked', () => {
    const { model, job } = started(balance, NEW, NEW);
    model.join(OLD);
    model.settle();
    expect(where(model, job).n3).toBeUndefined();
    model.drain('n1');
    model.settle();
    expect(where(model, job)).toEqual({ n2: ['0.1', '0.2', '1.1', '1.2'] });
    expect(model.released).toEqual(['n1']);
    expect(model.unfit).toBe(0);
  });

  it('take threads from those that have less', () => {
    const { model, job } = started(balance, OLD, NEW);
    model.drain('n1');
    model.settle();
    expect(where(model, job)).toEqual({ n2: ['0.1', '0.2', '1.1', '1.2'] });
    expect(model.unfit).toBe(0);
  });

  it('keep threads that can run nowhere else, say so once, and give them up when they can', () => {
    const { model, job } = started(balance, NEW, OLD);
    model.drain('n1');
    model.settle();
    expect(where(model, job)).toEqual({ n1: ['0.1', '0.2'], n2: ['1.1', '1.2'] });
    const failed = model.events.filter(event => event.event === 'move-failed');
    expect(failed).toMatchObject([
      { thread: '0.1', code: 'refused' },
      { thread: '0.2', code: 'refused' },
    ]);
    expect(failed[0]).toHaveProperty(
      'reason',
      'thread 0.1 can go to no other node: node n2 lacks avx512f, which the thread may use since it started where that is',
    );
    expect(model.cluster.jobs.get(job)?.threads.get('0.1')?.pinned).toContain('avx512f');
    model.join(NEW);
    model.settle();
    expect(model.released).toEqual(['n1']);
    expect(where(model, job).n3).toEqual(expect.arrayContaining(['0.1', '0.2']));
    expect(model.unfit).toBe(0);
  });
});

describe.each(POLICIES)('a node without memory, balanced by %s', balance => {
  it('is left alone for a while: what must leave another goes to those that have some', () => {
    const { model, job } = started(balance, OLD, OLD);
    model.full.add('n2');
    model.join(OLD);
    model.drain('n1');
    for (let i = 0; i < 20; i++) {
      while (model.deliver());
      model.tick(50);
    }
    const at = where(model, job);
    expect(at.n1).toBeUndefined();
    expect(at.n3).toEqual(expect.arrayContaining(['0.1', '0.2']));
    // Those that were under way at once were refused together, and nothing was started for them.
    expect(model.asked).toBeLessThanOrEqual(2);
    expect(model.spawned.get(job)).toEqual([0, 1, 2]);
  });

  it('gets them when it has some again', () => {
    const { model, job } = started(balance, OLD, OLD);
    model.full.add('n2');
    model.drain('n1');
    for (let i = 0; i < 20; i++) {
      while (model.deliver());
      model.tick(500);
    }
    expect(where(model, job)).toEqual({ n1: ['0.1', '0.2'], n2: ['1.1', '1.2'] });
    expect(model.asked).toBeLessThan(20); // in ten seconds
    expect(model.spawned.get(job)).toEqual([0, 1]);
    expect(model.events).toContainEqual(expect.objectContaining({ event: 'move-failed', code: 'no-memory' }));
    model.full.clear();
    model.settle();
    expect(where(model, job)).toEqual({ n2: ['0.1', '0.2', '1.1', '1.2'] });
    expect(model.released).toEqual(['n1']);
  });
});

describe('nodes that differ', () => {
  it('refuse a move that a user asks for, and name what is missing', () => {
    const { model, job } = started('none', NEW, OLD);
    const waiter = { client: 'c', request: 9 };
    model.input({ type: 'move', waiter, job, thread: '0.1', node: 'n2' });
    expect(model.refusals).toEqual(['refused']);
    model.settle();
    expect(where(model, job)).toEqual({ n1: ['0.1', '0.2'], n2: ['1.1', '1.2'] });
  });

  it('are learnt from a refusal where the coordinator does not know what a thread had, and asked only once', () => {
    const { model, job } = started('threads', NEW, NEW);
    model.drain('n1'); // n2 has threads of a host that is no more
    model.settle();
    model.crash();
    model.settle();
    model.join(OLD);
    model.settle();
    expect(where(model, job)).toEqual({ n2: ['0.1', '0.2', '1.1', '1.2'] });
    expect(model.unfit).toBeLessThanOrEqual(2);
    expect(model.cluster.jobs.get(job)?.hosts.size).toBe(2); // and no more hosts are started for them
  });

  it('never get a thread that cannot run there, and lose none, whatever joins and drains', () => {
    const features = fc.subarray(['a', 'b', 'c']);
    const act = fc.oneof(
      fc.record({ join: features }),
      fc.record({ drain: fc.nat(8) }),
      fc.constant({ spawn: true as const }),
    );
    fc.assert(
      fc.property(
        fc.constantFrom(...POLICIES),
        fc.array(features, { minLength: 2, maxLength: 4 }),
        fc.array(act, { maxLength: 12 }),
        (balance, nodes, acts) => {
          const model = new Model(dice, { luck: false, balance });
          for (const one of nodes) model.join(one);
          const job = model.submit(6);
          model.settle();
          for (const one of acts) {
            if ('join' in one) model.join(one.join);
            else if ('drain' in one)
              model.drain([...model.cluster.nodes.keys()][one.drain % model.cluster.nodes.size] ?? '');
            else model.spawnThread();
            model.settle();
          }
          expect(model.unfit).toBe(0);
          expect([...model.where(job).keys()].sort()).toEqual([...(model.alive.get(job) ?? [])].sort());
        },
      ),
      { numRuns: 150 },
    );
  });
});
