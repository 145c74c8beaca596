import { Client } from '@dmi/core';
import { afterEach, describe, expect, it } from 'vitest';
import { goFile } from './cluster/go.js';
import { guestPrograms } from './cluster/guests.js';
import { Processes, pause, until } from './cluster/processes.js';
import { expectWhole } from './cluster/steps.js';
import { Wire } from './cluster/wire.js';

// The coordinator, or the way to it, is gone for a while under a running job.

const guests = guestPrograms();
let cluster: Processes;
const go = goFile();
afterEach(() => cluster?.stop());

/** Asks the coordinator, over a connection of its own. */
async function ask<T>(question: (client: Client) => Promise<T>): Promise<T> {
  const client = await Client.connect({ address: cluster.address, token: null });
  try {
    return await question(client);
  } finally {
    await client.close();
  }
}

/** Threads per node, in the order of their names. */
async function perNode(): Promise<Record<string, number>> {
  const nodes = (await ask(client => client.threads())).map(({ node }) => node);
  return Object.fromEntries([...new Set(nodes)].sort().map(name => [name, nodes.filter(node => node === name).length]));
}

/** Waits until threads are spread like this. */
async function spread(expected: Record<string, number>): Promise<void> {
  let last = '';
  for (let tries = 200; tries > 0; tries--) {
    last = JSON.stringify(await perNode());
    if (last === JSON.stringify(expected)) return;
    await pause(100);
  }
  throw new Error(`threads are ${last}, not ${JSON.stringify(expected)}`);
}

async function killCoordinator(): Promise<void> {
  cluster.coordinator?.child.kill('SIGKILL');
  await cluster.coordinator?.ended;
}

describe('a running job', () => {
  it('goes on while the coordinator is killed and started anew, which then knows it as it was', async () => {
    cluster = await Processes.start(['a', 'b']);
    const job = cluster.run('-n', '6', guests.build('steps'), go.path, '100');
    await until('the job runs', () => job.stdout.includes('step 3'));
    const [before] = await ask(client => client.jobs());
    const pids = cluster.hosts();
    await killCoordinator();
    await pause(500);
    await cluster.coordinate();
    await spread({ a: 3, b: 3 });
    expect(await ask(client => client.jobs())).toMatchObject([
      { job: before?.job, state: 'running', epoch: before?.epoch, threads: 6 },
    ]);
    expect(cluster.hosts()).toEqual(pids);

    // And it is as elastic as before, more than once.
    await cluster.join('c');
    await spread({ a: 2, b: 2, c: 2 });
    await killCoordinator();
    await cluster.coordinate();
    await spread({ a: 2, b: 2, c: 2 });
    expect(cluster.dmi('drain', 'a').status).toBe(0);
    expect(await perNode()).toEqual({ b: 3, c: 3 });
    go.give();
    const { stdout, stderr, status } = await job.ended;
    expect(status).toBe(0);
    expect(stderr.split('\n').sort()).toEqual(['', ...Array.from({ length: 6 }, (_, rank) => `rank ${rank} is done`)]);
    expectWhole(stdout, 6);
    expect(cluster.hosts()).toEqual([]);
  });

  it('is not mixed up with another on the same nodes: both go on when the coordinator is killed and started anew', async () => {
    cluster = await Processes.start(['a', 'b']);
    const program = guests.build('steps');
    const sizes = [4, 6];
    const jobs = sizes.map(n => cluster.run('-n', `${n}`, program, go.path, '100'));
    for (const job of jobs) await until('both jobs run', () => job.stdout.includes('step 3'));
    const before = await ask(client => client.jobs());
    await killCoordinator();
    await cluster.coordinate();
    await spread({ a: 5, b: 5 });
    const after = await ask(client => client.jobs());
    const facts = ({ job, n, epoch }: (typeof before)[number]) => [job, 'running', n, n, epoch];
    expect(after.map(({ job, state, n, threads, epoch }) => [job, state, n, threads, epoch]).sort()).toEqual(
      before.map(facts).sort(),
    );
    await cluster.join('c');
    go.give();
    for (const [i, job] of jobs.entries()) {
      const { stdout, stderr, status } = await job.ended;
      expect([status, stderr.split('\n').length]).toEqual([0, (sizes[i] ?? 0) + 1]);
      expectWhole(stdout, sizes[i] ?? 0);
    }
    expect(cluster.hosts()).toEqual([]);
  });

  it('loses no thread and runs none twice when a node’s connection to the coordinator is cut, moves under way included', async () => {
    cluster = await Processes.start(['a']);
    const { hostname, port } = new URL(cluster.address);
    const wire = await Wire.to(hostname, Number(port));
    try {
      await cluster.join('b', '--join', `ws://127.0.0.1:${wire.port}`);
      const job = cluster.run('-n', '6', guests.build('steps'), go.path, '100');
      await until('the job runs', () => job.stdout.includes('step 3'));
      await cluster.join('c');
      wire.cut(); // threads are on their way from b to c, or about to be
      await pause(3_000);
      expect((await ask(client => client.nodes())).find(({ name }) => name === 'b')?.link).toBe('down');
      wire.mend();
      await spread({ a: 2, b: 2, c: 2 });
      go.give();
      const { stdout, status } = await job.ended;
      expect(status).toBe(0);
      expectWhole(stdout, 6);
    } finally {
      wire.close();
    }
  });
});
