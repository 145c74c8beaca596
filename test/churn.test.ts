import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { goFile } from './cluster/go.js';
import { guestPrograms } from './cluster/guests.js';
import { InProcess, type Running } from './cluster/in-process.js';
import { running, until } from './cluster/processes.js';
import { expectWhole } from './cluster/steps.js';

// Many changes of the cluster at once, under real hosts.

const guests = guestPrograms();
let cluster: InProcess;
const go = goFile();
afterEach(() => cluster?.stop());

const names = (prefix: string) => Array.from({ length: 10 }, (_, i) => `${prefix}${i}`);
const even = (nodes: readonly string[], each: number) => Object.fromEntries(nodes.map(name => [name, each]));

/** A job that checks itself in every round has got so far. */
function round({ stdout }: Running): number {
  return Number(/.*^round (\d+)$/ms.exec(stdout())?.[1] ?? -1);
}

async function expectDone(job: Running): Promise<void> {
  expect(await job.job.done).toMatchObject({ state: 'done', status: 0, reason: null });
}

describe('two jobs on the same nodes', () => {
  it('go through ten joins and ten drains at once', async () => {
    const [old, fresh] = [names('old'), names('new')];
    cluster = await InProcess.start(old);
    const shared = await cluster.run(guests.build('rounds'), 10, ['600', go.path]);
    const alone = await cluster.run(guests.build('steps'), 20, [go.path, '100']);
    await until('both run', () => round(shared) >= 2 && alone.stdout().includes('step 2'), 60);
    await Promise.all([
      ...fresh.map(name => cluster.join(name)),
      ...old.map(async name => {
        // As soon as there is somewhere to go.
        await until('one has joined', () => cluster.agents.size > old.length, 60);
        expect(await cluster.client.drain(name)).toMatchObject({ node: name });
      }),
    ]);
    await cluster.spreadAs(alone, even(fresh, 2));
    expect(Object.values(cluster.spread(shared)).sort()).toEqual([1, 1, 1, 1, 1, 1, 1, 1, 1, 2]); // and the main thread
    expect((await cluster.client.nodes()).map(({ name }) => name).sort()).toEqual(fresh);
    for (const name of old) expect(await cluster.agents.get(name)?.ended).toEqual({ how: 'left' });
    const at = round(shared);
    await until('it goes on', () => round(shared) > at + 2);
    go.give();
    await Promise.all([expectDone(shared), expectDone(alone)]);
    expectWhole(alone.stdout(), 20);
    expect(cluster.hostPids).toEqual([]);
  });

  it('a node joins while another drains, whose drain is taken back, and a third drains', async () => {
    cluster = await InProcess.start(['a', 'b']);
    const shared = await cluster.run(guests.build('rounds'), 5, ['600', go.path]);
    const alone = await cluster.run(guests.build('steps'), 6, [go.path, '100', '0', '8']);
    await until('both run', () => round(shared) >= 2 && alone.stdout().includes('step 2'), 60);
    for (let time = 0; time < 3; time++) {
      const drain = cluster.client.drain('a').then(
        () => 'drained',
        ({ code }) => code,
      );
      await until('a drains', () => cluster.coordinator.cluster.nodes.get('a')?.state === 'draining');
      const name = `c${time}`;
      const join = cluster.join(name);
      if (time > 0) await until('a gives threads away', () => (cluster.spread(alone).a ?? 0) < 2, 60);
      await cluster.client.keep('a');
      expect(await drain).toBe('cancelled');
      await join;
      await cluster.spreadAs(alone, { a: 2, b: 2, [name]: 2 });
      expect(await cluster.client.drain(name)).toMatchObject({ node: name });
    }
    expect((await cluster.client.nodes()).map(({ name, state }) => [name, state])).toEqual([
      ['a', 'active'],
      ['b', 'active'],
    ]);
    const at = round(shared);
    await until('it goes on', () => round(shared) > at + 2);
    go.give();
    await Promise.all([expectDone(shared), expectDone(alone)]);
    expectWhole(alone.stdout(), 6);
  });

  it('one whose host is killed fails with the reason, all its hosts end, and the other does not notice', async () => {
    cluster = await InProcess.start(['a', 'b', 'c']);
    const other = await cluster.run(guests.build('rounds'), 6, ['600', go.path]);
    await until('the first runs', () => round(other) >= 2, 60);
    const others = new Set(cluster.hostPids);
    const lost = await cluster.run(guests.build('rounds'), 6, ['600', go.path]);
    await until('the second runs', () => round(lost) >= 2, 60);
    const hosts = cluster.hostPids.filter(pid => !others.has(pid));
    expect(hosts).toHaveLength(3);
    process.kill(hosts[1] as number, 'SIGKILL');
    expect(await lost.job.done).toMatchObject({
      state: 'failed',
      reason: expect.stringMatching(/^the host of job \w+ on node [abc] ended unexpectedly: killed by SIGKILL/),
    });
    expect(hosts.filter(running)).toEqual([]);
    expect(cluster.hostPids).toEqual([...others]);
    const at = round(other);
    await until('the other goes on', () => round(other) > at + 2);
    go.give();
    await expectDone(other);
  });
});

describe('a job', () => {
  it('grows to nodes that nobody has named before and shrinks to one of them, its hosts the same processes throughout', async () => {
    // Addresses are random, as anywhere: nothing here needs them otherwise.
    expect(readFileSync('/proc/sys/kernel/randomize_va_space', 'utf8')).toBe('2\n');
    cluster = await InProcess.start([]);
    const old = [await cluster.joinUnnamed(), await cluster.joinUnnamed()];
    const job = await cluster.run(guests.build('rounds'), 12, ['600', go.path]);
    await until('it runs', () => round(job) >= 2, 60);
    const first = cluster.hostPids;
    const [last, third] = [await cluster.joinUnnamed(), await cluster.joinUnnamed()];
    // Twelve, and the one that has started them.
    await until('it has grown', () => Object.values(cluster.spread(job)).sort().join() === '3,3,3,4', 60);
    const grown = cluster.hostPids;
    expect(grown).toEqual(expect.arrayContaining(first));
    await Promise.all([...old, third].map(name => cluster.client.drain(name)));
    expect(cluster.spread(job)).toEqual({ [last]: 13 });
    expect(cluster.hostPids).toHaveLength(1);
    expect(grown).toEqual(expect.arrayContaining(cluster.hostPids));
    const at = round(job);
    await until('it goes on', () => round(job) > at + 2);
    go.give();
    await expectDone(job);
    await until('no host is left', () => !grown.some(running));
  });
});
