import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { PlanRow, ThreadRow } from '@dmi/core';
import { afterEach, describe, expect, it } from 'vitest';
import { goFile } from './cluster/go.js';
import { guestPrograms } from './cluster/guests.js';
import { Processes, until } from './cluster/processes.js';
import { expectWhole } from './cluster/steps.js';

// Nodes join and leave under running programs: the real host, the real agents, a process each.

const guests = guestPrograms();
let cluster: Processes;
const go = goFile();
afterEach(() => cluster?.stop());

function perNode(): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { node } of cluster.json<ThreadRow[]>('ps')) counts[node] = (counts[node] ?? 0) + 1;
  return counts;
}

describe('an elastic job', () => {
  it('spreads to nodes that join, leaves nodes that drain or get SIGTERM, and misses no step', async () => {
    cluster = await Processes.start(['a', 'b']);
    const job = cluster.run('-n', '8', guests.build('steps'), go.path, '100');
    await until('the job runs', () => job.stdout.includes('step 5'));
    await Promise.all([cluster.join('c', '--spot', 'sigterm:60'), cluster.join('d')]);
    await until(
      'threads are spread',
      () => JSON.stringify(Object.entries(perNode()).sort()) === '[["a",2],["b",2],["c",2],["d",2]]',
    );

    const drained = cluster.dmi('drain', 'a');
    expect(drained).toMatchObject({ status: 0, stdout: expect.stringMatching(/^a drained in/) });
    expect((await cluster.agent('a').ended).status).toBe(0);
    for (const name of ['b', 'c']) cluster.agent(name).child.kill('SIGTERM');
    for (const name of ['b', 'c']) expect((await cluster.agent(name).ended).status).toBe(0);
    expect(perNode()).toEqual({ d: 8 });

    go.give();
    const { stdout, status } = await job.ended;
    expect(status).toBe(0);
    expectWhole(stdout, 8);
    const log = job.log();
    const moved = log.filter(event => event.event === 'moved');
    expect(moved.filter(({ cause }) => cause === 'join')).toHaveLength(4);
    expect(moved.filter(({ cause }) => cause === 'drain').length).toBeGreaterThanOrEqual(6);
    for (const { bytes, seconds } of moved) {
      expect(bytes).toBeGreaterThan(1 << 20); // each thread has a MiB of heap
      expect(seconds).toBeGreaterThan(0);
    }
    expect(
      log
        .filter(({ event }) => event === 'leave')
        .map(event => 'node' in event && event.node)
        .sort(),
    ).toEqual(['a', 'b', 'c']);
    expect(cluster.hosts()).toEqual([]);
  });

  it('refuses to drain the last node, in one line that names the job', async () => {
    cluster = await Processes.start(['a']);
    const job = cluster.run('-n', '2', guests.build('steps'), go.path, '100');
    await until('the job runs', () => job.stdout.includes('step 1'));
    const { stderr, status } = cluster.dmi('drain', 'a');
    expect(stderr).toMatch(
      /^dmi: cannot drain node a: it is the last node, and job \w+ runs on it\n {5}start another agent first/,
    );
    expect(status).toBe(1);
    go.give();
    expect((await job.ended).status).toBe(0);
  });

  it('places a thread whose addresses are taken in one more host on that node', async () => {
    cluster = await Processes.start(['a', 'b']);
    // A zone that has room for one region: both threads are at the same addresses.
    const job = cluster.run(
      '-n',
      '2',
      '--thread-memory',
      '64M',
      '--zone',
      '10000000000-10004000000',
      guests.build('steps'),
      go.path,
      '100',
    );
    await until('the job runs', () => job.stdout.includes('step 3'));
    expect(cluster.dmi('drain', 'a').status).toBe(0);
    expect(perNode()).toEqual({ b: 2 });
    expect(cluster.hosts()).toHaveLength(2);
    go.give();
    const { stdout, status } = await job.ended;
    expect(status).toBe(0);
    expectWhole(stdout, 2);
    const log = job.log();
    expect(log.filter(({ event }) => event === 'collision')).toHaveLength(1);
    expect(log.filter(event => event.event === 'moved')).toMatchObject([{ from: 'a', to: 'b', collision: true }]);
  });

  it('waits with a thread that cannot move, says why, and moves it when it can', async () => {
    cluster = await Processes.start(['a', 'b']);
    const close = `${go.path}.close`;
    const job = cluster.run('-n', '2', guests.build('listens'), close, go.path);
    await until('the job runs', () => job.stdout.match(/listening/g)?.length === 2);
    const drain = cluster.begin('drain', 'a');
    await until('the drain says why', () => /thread \d\.1 stays .*: .*socket/.test(drain.stderr));
    expect(perNode()).toEqual({ a: 1, b: 1 });
    writeFileSync(close, '');
    expect((await drain.ended).status).toBe(0);
    expect(perNode()).toEqual({ b: 2 });
    go.give();
    expect((await job.ended).status).toBe(0);
  });

  it('moves by processor time with --balance load: threads that compute are spread, those that sleep are not counted', async () => {
    cluster = await Processes.start(['a', 'b']);
    const options = join(dirname(go.path), 'balance.json');
    writeFileSync(options, '{"interval": 0.5, "cooldown": 1}');
    const load = ['--balance', 'load', '--balance-options', options];
    const job = cluster.run('-n', '4', ...load, guests.build('busy'), go.path);
    const at = () => new Map(cluster.json<ThreadRow[]>('ps').map(({ thread, node }) => [thread, node]));
    // The two on the first node have all the work.
    await until('they are apart', () => new Set([at().get('0.1'), at().get('0.2')]).size === 2);
    // A thread that has moved is measured again after two more reports.
    await until('all are measured', () => cluster.json<PlanRow[]>('plan')[0]?.measured === 4);
    go.give();
    expect((await job.ended).status).toBe(0);
    expect(job.log().filter(event => event.event === 'moved' && event.cause === 'balance').length).toBeGreaterThan(0);
  });

  it('runs two jobs side by side on nodes that come and go', async () => {
    cluster = await Processes.start(['a']);
    const jobs = [1, 2].map(() => cluster.run('-n', '4', guests.build('steps'), go.path, '100'));
    await until('both run', () => jobs.every(({ stdout }) => stdout.includes('step 2')));
    await cluster.join('b');
    await until('both are spread', () => JSON.stringify(Object.entries(perNode()).sort()) === '[["a",4],["b",4]]');
    expect(cluster.dmi('drain', 'a').status).toBe(0);
    go.give();
    for (const job of jobs) {
      const { stdout, status } = await job.ended;
      expect(status).toBe(0);
      expectWhole(stdout, 4);
    }
  });
});
