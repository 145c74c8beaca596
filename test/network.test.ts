import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ClusterEvent, ThreadRow } from '@dmi/core';
import { afterAll, describe, expect, it } from 'vitest';
import { Network } from '../scripts/src/network.js';
import { Guests } from './cluster/guests.js';
import { type Command, Processes, pause, running, until } from './cluster/processes.js';
import { expectWhole } from './cluster/steps.js';

// Machines with networks of their own, whose links break or are slow. Most of the time is waiting, so all run at once.

const missing = Network.missing();
const guests = new Guests();
const dir = mkdtempSync(join(tmpdir(), 'dmi-network-'));
const clusters: Processes[] = [];
// A guest is built before there are any networks: nothing else then holds the event loop of tests that run beside.
const [steps, rounds] = missing === null ? [guests.build('steps'), guests.build('rounds')] : ['', ''];
let files = 0;
afterAll(async () => {
  await Promise.all(clusters.map(cluster => cluster.stop()));
  rmSync(dir, { recursive: true, force: true });
  guests.remove();
});

/** A network of a hub and other machines, a cluster on it with agents on some of them, and a file that ends its job. */
async function start(nodes: string[], others: string[] = [], ...flags: string[]) {
  const network = Network.of(['hub', ...nodes, ...others]);
  const cluster = await Processes.on(network, nodes, ...flags);
  clusters.push(cluster);
  return { network, cluster, go: join(dir, `go-${files++}`) };
}

/** With patience: four clusters start at the same time. */
function wait(what: string, so: () => boolean): Promise<void> {
  return until(what, so, 150);
}

type Named<N extends ClusterEvent['event']> = Extract<ClusterEvent, { event: N }>;

function seen<N extends ClusterEvent['event']>(job: Command, event: N): Named<N>[] {
  return job.log().filter((one): one is Named<N> => one.event === event);
}

/** Threads per node, as last published. */
function spread(job: Command): Record<string, number> {
  const { nodes } = seen(job, 'threads').at(-1) ?? { nodes: {} };
  return Object.fromEntries(
    Object.entries(nodes)
      .filter(([, n]) => n > 0)
      .sort(),
  );
}

async function spreadAs(job: Command, expected: Record<string, number>): Promise<void> {
  const wanted = JSON.stringify(expected);
  await wait(`threads are ${wanted}`, () => JSON.stringify(spread(job)) === wanted);
}

function round(job: Command): number {
  return Number(/.*^round (\d+)$/ms.exec(job.stdout)?.[1] ?? -1);
}

/** The round at which the job stands still. */
async function standing(job: Command): Promise<number> {
  for (let tries = 0; tries < 20; tries++) {
    const before = round(job);
    await pause(1_500);
    if (round(job) === before) return before;
  }
  throw new Error(`it goes on: it is at round ${round(job)}`);
}

const name = missing === null ? 'over a network' : `over a network (not here: ${missing})`;
describe.skipIf(missing !== null).concurrent(name, { timeout: 400_000 }, () => {
  it('an agent that is out of touch for 30 s loses no thread, and none runs twice', async () => {
    const { network, cluster, go } = await start(['a', 'b'], ['c']);
    const job = cluster.run('-n', '6', steps, go, '100');
    await spreadAs(job, { a: 3, b: 3 });
    network.cut('hub', 'b');
    const cut = Date.now();
    await cluster.join('c'); // moves from b are asked for, and not heard of
    await wait('b is missed', () => seen(job, 'link').some(({ node, state }) => node === 'b' && state === 'down'));
    await pause(Math.max(0, cut + 30_000 - Date.now()));
    network.mend('hub', 'b');
    await spreadAs(job, { a: 2, b: 2, c: 2 });
    writeFileSync(go, '');
    const { stdout, status } = await job.ended;
    expect(status).toBe(0);
    expectWhole(stdout, 6);
    await cluster.stop();
  });

  it('a partition between two nodes has moves refused, or made by way of a third, and goes by', async () => {
    const { network, cluster, go } = await start(['a', 'b', 'c']);
    const job = cluster.run('-n', '6', steps, go, '100');
    await spreadAs(job, { a: 2, b: 2, c: 2 });
    network.cut('a', 'b');
    const rows = JSON.parse((await cluster.begin('ps', '-o', 'json').ended).stdout) as ThreadRow[];
    const thread = rows.find(({ node }) => node === 'a')?.thread ?? '';
    const refused = await cluster.begin('move', thread, 'b').ended;
    expect(refused).toMatchObject({ status: 1, stderr: expect.stringContaining(`thread ${thread} did not move to b`) });
    const drain = cluster.begin('drain', 'a');
    await wait('a is empty', () => seen(job, 'moved').filter(({ from }) => from === 'a').length === 2);
    await spreadAs(job, { b: 3, c: 3 });
    const moves = seen(job, 'moved').map(({ from, to, cause }) => ({ from, to, cause }));
    expect(moves.filter(({ from }) => from === 'a')).toEqual([
      { from: 'a', to: 'c', cause: 'drain' },
      { from: 'a', to: 'c', cause: 'drain' },
    ]);
    const failed = seen(job, 'move-failed').map(({ from, to, code }) => `${from} to ${to}: ${code}`);
    expect([...new Set(failed)]).toEqual(['a to b: unreachable']);
    network.mend('a', 'b');
    expect((await drain.ended).status).toBe(0);
    writeFileSync(go, '');
    const { stdout, status } = await job.ended;
    expect(status).toBe(0);
    expectWhole(stdout, 6);
    await cluster.stop();
  });

  it('memory operations wait while two nodes do not reach each other, and fail with both named after --peer-timeout; a machine that is gone fails its job too, and all its processes end, there as well', async () => {
    const { network, cluster, go } = await start([], ['a', 'b'], '--grace', '3');
    await Promise.all(['a', 'b'].map(name => cluster.join(name, '--retry', '3')));
    const job = cluster.run('-n', '4', '--peer-timeout', '12', rounds, '600', go);
    await wait('it is under way', () => round(job) >= 3);
    network.cut('a', 'b');
    const before = await standing(job);
    network.mend('a', 'b');
    await wait('it goes on', () => round(job) > before + 3);

    network.cut('a', 'b');
    const cut = await job.ended;
    expect(cut.status).toBe(1);
    expect(cut.stderr).toMatch(/node ([ab]) has not reached node (?!\1)[ab] \(10\.77\.0\.\d+:\d+\) for 12 s/);
    expect(cluster.hosts()).toEqual([]);
    network.mend('a', 'b');

    const next = cluster.run('-n', '4', rounds, '600', go);
    await wait('the next is under way', () => round(next) >= 3);
    const hosts = cluster.hosts();
    expect(hosts).toHaveLength(2);
    network.unplug('b');
    const gone = await next.ended;
    expect(gone.status).toBe(1);
    expect(gone.stderr).toMatch(/node b was lost with a part of the job: no connection for 3 s/);
    await wait('no host is left', () => !hosts.some(running));
    expect((await cluster.agent('b').ended).stderr).toContain('cannot reach the coordinator');
    expect(running(cluster.agent('a').child.pid as number)).toBe(true);
    await cluster.stop();
  });

  it('a slow node holds up neither the joins nor the drains of others', async () => {
    const { network, cluster, go } = await start(['a', 'slow'], ['c']);
    network.limit('slow', '10mbit');
    const job = cluster.run('-n', '2', steps, go, '100', '0', '96');
    await spreadAs(job, { a: 1, slow: 1 });
    const drain = cluster.begin('drain', 'slow'); // 96 MiB at 10 Mbit/s would take 80 s
    await wait('the slow node drains', () => seen(job, 'drain-started').length === 1);
    await cluster.join('c');
    await wait('c has threads or is ready', () =>
      seen(job, 'member').some(({ node, state }) => node === 'c' && state === 'active'),
    );
    expect((await cluster.begin('drain', 'c').ended).status).toBe(0);
    expect(seen(job, 'leave').map(({ node }) => node)).toEqual(['c']);
    network.limit('slow', '1gbit');
    expect((await drain.ended).status).toBe(0);
    expect(seen(job, 'leave').map(({ node }) => node)).toEqual(['c', 'slow']);
    expect(spread(job)).toEqual({ a: 2 });
    writeFileSync(go, '');
    const { stdout, status } = await job.ended;
    expect(status).toBe(0);
    expectWhole(stdout, 2);
    await cluster.stop();
  });
});
