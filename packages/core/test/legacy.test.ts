import { describe, expect, it } from 'vitest';
import { HISTORY } from '../src/cluster/job-end.js';
import { jobRows } from '../src/cluster/tables.js';
import { readRecords } from '../src/store/records.js';
import { Model } from './model.js';

// What a coordinator finds in the store beside what agents tell it.

const watch = { client: 'c', request: 9 };

function model(): Model {
  return new Model({ pick: () => 0 }, { cores: 2, luck: false, store: true });
}

describe('a coordinator that succeeds another', () => {
  it('knows a job before its nodes are back, and has its client wait', () => {
    const cluster = model();
    cluster.join();
    const job = cluster.submit(4);
    cluster.settle();
    cluster.crash();
    expect(jobRows(cluster.cluster, 1e6)).toMatchObject([{ job, name: 'p', kind: 'spmd', n: 4, state: 'recovering' }]);
    cluster.replies.length = 0;
    cluster.input({ type: 'watch', waiter: watch, job });
    expect([cluster.refusals, cluster.replies]).toEqual([[], []]);
    cluster.settle();
    expect(cluster.replies).toContainEqual(expect.objectContaining({ job, outcome: null }));
    expect(jobRows(cluster.cluster, 1e6)).toMatchObject([{ job, state: 'running', threads: 4 }]);
  });

  it('says after the grace period that a job is lost, when none of its nodes came back', () => {
    const cluster = model();
    cluster.join();
    const job = cluster.submit(4);
    cluster.settle();
    cluster.crash();
    cluster.away.clear();
    cluster.input({ type: 'watch', waiter: watch, job });
    cluster.tick(59_000);
    expect(cluster.cluster.expected.size).toBe(1);
    cluster.tick(2_000);
    const reason = 'none of its nodes came back within 60 s after its coordinator had gone';
    expect(cluster.replies.at(-1)).toMatchObject({ job, state: 'failed', outcome: { state: 'failed', reason } });
    expect([...cluster.records.keys()]).toEqual([`outcome/${job}`]);
  });

  it('cancels a job that it has not heard of yet: its hosts are stopped when they come back', () => {
    const cluster = model();
    cluster.join();
    const job = cluster.submit(4);
    cluster.settle();
    cluster.crash();
    cluster.input({ type: 'kill', waiter: watch, job });
    expect(cluster.replies.at(-1)).toMatchObject({ job, state: 'cancelled' });
    cluster.settle();
    expect([cluster.hosts.size, cluster.cluster.jobs.size]).toEqual([0, 0]);
    expect(cluster.cluster.history).toMatchObject([{ job, state: 'cancelled' }]);
  });

  it('leaves threads where dmi move has put them', () => {
    const cluster = model();
    cluster.join();
    cluster.join();
    const job = cluster.submit(4);
    cluster.settle();
    const [thread] = [...(cluster.cluster.jobs.get(job)?.threads.values() ?? [])].filter(({ member }) => member === 0);
    cluster.input({ type: 'move', waiter: watch, job, thread: thread?.id ?? '', node: 'n2' });
    cluster.settle();
    cluster.crash();
    cluster.settle();
    const known = cluster.cluster.jobs.get(job);
    expect(known?.threads.get(thread?.id ?? '')).toMatchObject({ kept: true });
    expect(known?.hosts.get(known?.threads.get(thread?.id ?? '')?.member ?? -1)?.node).toBe('n2');
    cluster.exitAll(job);
    cluster.settle();
    expect([...cluster.records.keys()]).toEqual([`outcome/${job}`]);
  });

  it('goes on with a drain, by its deadline', () => {
    const cluster = model();
    cluster.join();
    cluster.drain('n1'); // nothing is on it: it is gone at once
    cluster.join();
    cluster.join();
    cluster.submit(4);
    cluster.settle();
    cluster.drain('n2', 1_000);
    const { leaveBy } = cluster.cluster.nodes.get('n2') ?? {};
    expect(cluster.records.get('drain/n2')).toEqual({ leaveBy });
    cluster.crash();
    while (cluster.cluster.drains.size > 0) cluster.deliver();
    const { leaveBy: then = 0 } = cluster.cluster.nodes.get('n2') ?? {};
    expect(Math.abs((then ?? 0) - (leaveBy ?? 0))).toBeLessThan(10);
    cluster.settle();
    expect(cluster.released).toEqual(['n1', 'n2']);
    expect([...cluster.records.keys()]).toEqual(['job/j1']);
  });

  it('finds as many outcomes as are remembered, latest last', () => {
    const cluster = model();
    cluster.join();
    for (let i = 0; i < HISTORY + 5; i++) {
      cluster.exitAll(cluster.submit(0));
      cluster.input({ type: 'kill', waiter: watch, job: `j${i + 1}` });
      while (cluster.deliver());
    }
    expect(cluster.records.size).toBe(HISTORY);
    cluster.crash();
    expect(cluster.cluster.history.map(({ job }) => job)).toEqual(
      Array.from({ length: HISTORY }, (_, i) => `j${i + 6}`),
    );
  });
});

describe('what is written', () => {
  it('does not grow with the cluster: joins, moves and threads write nothing, a drain one record', () => {
    const cluster = model();
    for (let i = 0; i < 20; i++) cluster.join();
    cluster.submit(400);
    cluster.settle();
    expect([...cluster.records.keys()]).toEqual(['job/j1']);
    const before = JSON.stringify([...cluster.records]);
    cluster.join();
    cluster.settle();
    cluster.spawnThread();
    cluster.wander();
    cluster.settle();
    expect(JSON.stringify([...cluster.records])).toBe(before);
    cluster.drain('n1');
    expect([...cluster.records.keys()]).toEqual(['job/j1', 'drain/n1']);
  });

  it('has no keys, arguments or environment of jobs in it', () => {
    const cluster = model();
    cluster.join();
    cluster.submit(1);
    expect(Object.keys(cluster.records.get('job/j1') as object).sort()).toEqual(['kind', 'n', 'name', 'startedAt']);
  });
});

describe('records of somebody else', () => {
  it.each([
    ['job/x', { name: 'p' }],
    ['job/../x', true],
    ['outcome/j1', null],
    ['drain/n1', { leaveBy: 'soon' }],
    ['kept/j1/main', true],
    ['kept/j1/1.1/more', true],
    ['cluster', 'x'],
  ])('%s is named and left alone', (key, value) => {
    const { legacy, unknown } = readRecords(new Map([[key, value]]));
    expect(unknown).toEqual([key]);
    expect([legacy.jobs.size, legacy.outcomes.length, legacy.drains.size, legacy.kept.size]).toEqual([0, 0, 0, 0]);
  });
});
