import { Client, findLeader } from '@dmi/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ETCD, Etcd } from './cluster/etcd.js';
import { goFile } from './cluster/go.js';
import { guestPrograms } from './cluster/guests.js';
import { type Command, Processes, until } from './cluster/processes.js';
import { expectWhole } from './cluster/steps.js';

// Two coordinators that share etcd: one leads, the other stands by, and takes over under a running job.

if (!ETCD) process.stderr.write('standby.test.ts is skipped: there is no etcd (apt-get install etcd-server)\n');

const LEASE = 4;
const guests = guestPrograms();
let etcd: Etcd;
let cluster: Processes;
let first: Command;
let second: Command;
const go = goFile();

beforeEach(async () => {
  if (!ETCD) return;
  etcd = await Etcd.start();
  cluster = Processes.apart();
  const flags = ['--store', `etcd://${etcd.host}/test`, '--lease', `${LEASE}`];
  await cluster.coordinate('127.0.0.1:0', ...flags);
  first = cluster.coordinator as Command;
  await until('the first leads', () => first.stderr.includes('leads now'));
  second = await cluster.standBy(...flags);
});
afterEach(async () => {
  await cluster?.stop();
  await etcd?.remove();
});

/** What a coordinator has said, for when something is not so. */
async function says(command: Command, what: string): Promise<void> {
  await until(`"${what}"`, () => command.stderr.includes(what)).catch(error => {
    throw new Error(`${error.message}; the first: ${first.stderr}the second: ${second.stderr}`);
  });
}

/** A job of six ranks on two nodes, which runs until it is let go. */
async function start(): Promise<Command> {
  await Promise.all(['a', 'b'].map(name => cluster.join(name)));
  const job = cluster.run('-n', '6', guests.build('steps'), go.path, '100');
  await until('the job runs', () => job.stdout.includes('step 3'));
  return job;
}

/** It has said everything once, and nothing of it is left. */
async function finish(job: Command): Promise<void> {
  go.give();
  const { stdout, stderr, status } = await job.ended;
  expect([status, stderr.split('\n').sort()]).toEqual([
    0,
    ['', ...Array.from({ length: 6 }, (_, rank) => `rank ${rank} is done`)],
  ]);
  expectWhole(stdout, 6);
  await until('no host is left', () => cluster.hosts().length === 0);
}

/** Whoever leads knows the job, running with all its threads, and all nodes. */
async function known(count = 2): Promise<void> {
  await until('the job is known again', () => {
    const jobs = cluster.json<{ state: string; threads: number }[]>('jobs');
    const nodes = cluster.json<{ name: string; link: string }[]>('nodes');
    return (
      jobs.some(({ state, threads }) => state === 'running' && threads === 6) &&
      nodes.filter(({ link }) => link === 'up').length === count
    );
  });
}

describe.skipIf(!ETCD)('a standby', () => {
  it('takes over under a running job from a leader that stands still, or is killed; the one before acts no more', async () => {
    const [a = '', b = ''] = cluster.address.split(',');
    expect(second.stderr).toContain(`stands by: ${a} leads`);
    const job = await start();
    // Who comes to the standby is sent on to the leader.
    const client = await Client.connect({ address: b, token: null });
    expect((await client.nodes()).map(({ name }) => name).sort()).toEqual(['a', 'b']);
    await client.close();
    const pids = cluster.hosts();

    first.child.kill('SIGSTOP');
    await says(second, 'leads now');
    await known();
    expect(cluster.hosts()).toEqual(pids);
    first.child.kill('SIGCONT');
    await says(first, 'leads no more');
    await says(first, `stands by: ${b} leads`);
    await known();

    // And it does lead: a node joins, and gets the program, which was sent to the first, from other nodes.
    await cluster.join('c');
    const onC = () => cluster.json<{ node: string }[]>('ps').filter(({ node }) => node === 'c').length;
    await until('threads are on the new node', () => onC() === 2);

    second.child.kill('SIGKILL');
    await until('the first leads again', () => first.stderr.split('leads now').length === 3);
    await known(3);
    expect(cluster.hosts()).toEqual(expect.arrayContaining(pids));
    expect(cluster.dmi('drain', 'a').status).toBe(0);
    await finish(job);
  });
});

describe.skipIf(!ETCD)('etcd', () => {
  it('may be away for longer than the lease: nobody leads meanwhile, jobs go on, and nothing is lost', async () => {
    const job = await start();
    const before = await etcd.read('/test');
    await etcd.kill();
    await says(first, 'cannot reach etcd');
    expect(first.stderr).toContain('leads no more');
    await says(second, 'cannot tell who leads');
    const asked = { role: 'client', token: null, onBad: () => {}, terms: new Map() } as const;
    const found = findLeader({ ...asked, addresses: cluster.address });
    await expect(found).rejects.toMatchObject({ code: 'standby', message: expect.stringContaining('nobody leads') });
    await etcd.start();
    await known();
    expect(await etcd.read('/test')).toMatchObject({ cluster: before.cluster });
    await finish(job);
  });
});
