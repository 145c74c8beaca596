import { describe, expect, it } from 'vitest';
import { POLICIES } from '../src/plan/options.js';
import { Model } from './model.js';

// Two nodes that are in touch with the coordinator, but not with each other.

const dice = { pick: () => 0 };

function threads(model: Model): Record<string, number> {
  const [job] = model.cluster.jobs.values();
  return Object.fromEntries([...(job?.hosts.values() ?? [])].map(({ node, threads }) => [node, threads.size]));
}

function moves(model: Model): string[] {
  return model.events.flatMap(event => (event.event === 'moved' ? [`${event.from} ${event.to}`] : []));
}

describe('a node that drains and does not reach another', () => {
  it.each(POLICIES)('gives its threads to a third one, with policy %s', balance => {
    const model = new Model(dice, { cores: 1, luck: false, balance });
    for (let i = 0; i < 3; i++) model.join();
    model.submit(6);
    model.settle();
    model.cuts.add('n1 n2');
    model.drain('n1');
    model.settle();
    expect(model.released).toEqual(['n1']);
    expect(moves(model).filter(move => move.startsWith('n1'))).toEqual(['n1 n3', 'n1 n3']);
    expect(Object.values(threads(model)).reduce((sum, n) => sum + n, 0)).toBe(6);
  });

  it('waits where there is no third one, tries again now and then, and goes on when it can', () => {
    const model = new Model(dice, { cores: 1, luck: false });
    for (let i = 0; i < 2; i++) model.join();
    model.submit(8);
    model.settle();
    model.cuts.add('n1 n2');
    model.drain('n1');
    for (let second = 0; second < 60; second++) {
      while (model.deliver());
      model.tick(1_000);
    }
    const failed = model.events.filter(event => event.event === 'move-failed').length;
    expect(failed).toBeGreaterThan(4); // four at a time
    expect(failed).toBeLessThanOrEqual(20);
    expect(threads(model)).toEqual({ n1: 4, n2: 4 });
    model.cuts.clear();
    model.settle();
    expect(model.released).toEqual(['n1']);
    expect(threads(model)).toEqual({ n2: 8 });
  });
});

describe('a host that another has not reached for the peer timeout', () => {
  function running() {
    const model = new Model(dice, { cores: 1, luck: false });
    for (let i = 0; i < 2; i++) model.join();
    const job = model.submit(2);
    model.settle();
    model.tick(2_000); // the timeout is 1 s
    const [a, b] = [...(model.cluster.jobs.get(job)?.hosts.values() ?? [])];
    const say = () => {
      const message = { t: 'unreachable' as const, member: b?.member ?? 0, reason: 'no connection' };
      const body = { t: 'from-host' as const, job, member: a?.member ?? 0, seq: 0, message };
      model.input({ type: 'agent', name: a?.node ?? '', body });
    };
    return { model, say, state: () => model.cluster.jobs.get(job) };
  }

  it('fails the job, with both nodes named', () => {
    const { say, state } = running();
    say();
    expect(state()?.outcome).toEqual({
      state: 'failed',
      status: null,
      reason: expect.stringMatching(
        /^node n1 has not reached node n2 \(127\.0\.0\.1:\d+\) for 1 s \(dmi run --peer-timeout\): no connection$/,
      ),
    });
  });

  it('does not while its node is out of touch with the coordinator, or was until lately: then it may have been the node', () => {
    const { model, say, state } = running();
    model.input({ type: 'link-down', name: 'n2' });
    model.tick(5_000);
    say();
    expect(state()?.outcome).toBeNull();
    model.input({ type: 'rejoin', name: 'n2' });
    say(); // of the time of the outage
    expect(state()?.outcome).toBeNull();
    model.tick(1_000);
    say();
    expect(state()?.outcome).toMatchObject({ state: 'failed' });
  });
});
