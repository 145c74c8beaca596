import type { ViewChange } from '@dmi/core';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { alive, pause, TestCluster } from './harness.js';

let cluster: TestCluster;
afterEach(() => cluster?.stop(), 60_000);

describe('a job', () => {
  it('runs on all nodes, prints, and ends with the first status that is not 0; nothing is left', async () => {
    cluster = await TestCluster.start(2);
    const { job, output } = await cluster.submit(4, 'print,until,exit=3');
    await cluster.settled({ n1: 2, n2: 2 });
    const pids = cluster.hostPids;
    expect(pids).toHaveLength(2);
    cluster.go();
    const result = await job.done;
    expect(result).toMatchObject({ state: 'done', status: 3, reason: null });
    expect(output.sort()).toEqual(['0.1 on n1\n', '0.2 on n1\n', '1.1 on n2\n', '1.2 on n2\n']);
    expect(pids.filter(alive)).toEqual([]);
  });

  it('is refused at once when there are no nodes', async () => {
    cluster = await TestCluster.start(0);
    await expect(cluster.submit(1, 'print')).rejects.toMatchObject({ code: 'no-agents' });
  });

  it('fails with the reason when a host dies, and other jobs go on', async () => {
    cluster = await TestCluster.start(2);
    const other = await cluster.submit(2, 'until,exit=0');
    const { job } = await cluster.submit(2, 'sleep=0.1,crash');
    const result = await job.done;
    expect(result.state).toBe('failed');
    expect(result.reason).toMatch(/host of job \w+ on node n[12] ended unexpectedly: killed by SIGKILL/);
    cluster.go();
    expect(await other.job.done).toMatchObject({ state: 'done', status: 0 });
  });

  it('fails with thread, signal, address and symbol when a guest crashes', async () => {
    cluster = await TestCluster.start(1);
    const { job } = await cluster.submit(1, 'fault,sleep=5');
    const result = await job.done;
    expect(result).toMatchObject({
      state: 'failed',
      reason: 'thread 0.1 got SIGSEGV at address 0x10 in step (pc 0x1234) on node n1',
    });
  });

  it('is cancelled by kill; a host that ignores stop and SIGTERM is killed', async () => {
    cluster = await TestCluster.start(1);
    const { job } = await cluster.submit(1, 'sleep=60', { FAKE_DEAF: '1' });
    await cluster.settled({ n1: 1 });
    const pids = cluster.hostPids;
    await cluster.client.kill(job.id.slice(0, 4));
    expect(await job.done).toMatchObject({ state: 'cancelled' });
    expect(pids.filter(alive)).toEqual([]);
  });

  it('is cancelled when its client goes away', async () => {
    cluster = await TestCluster.start(1, { ownerGraceMs: 300 });
    await cluster.submit(1, 'sleep=60');
    await cluster.settled({ n1: 1 });
    const { Client } = await import('@dmi/core');
    const other = await Client.connect({ address: cluster.coordinator.address, token: null });
    await cluster.client.close();
    cluster.client = other;
    for (let i = 0; i < 50 && cluster.hostPids.length > 0; i++) await pause(50);
    expect(cluster.hostPids).toEqual([]);
    expect((await other.jobs()).at(-1)).toMatchObject({ state: 'cancelled' });
  });

  it('holds its hosts back while its output is not read, loses nothing, and goes on', async () => {
    cluster = await TestCluster.start(1);
    const { job, output } = await cluster.submit(1, 'sleep=0.2,flood=400,exit=0');
    cluster.client.hold(true);
    await pause(1_500);
    cluster.client.hold(false);
    expect(await job.done).toMatchObject({ state: 'done', status: 0 });
    expect(output.reduce((sum, text) => sum + text.length, 0)).toBe(400 * 65_536);
  });
});

describe('elasticity', () => {
  it('spreads threads to nodes that join, and takes them off nodes that drain', async () => {
    cluster = await TestCluster.start(1);
    const { job, output } = await cluster.submit(8, 'until,print,exit=0');
    await cluster.settled({ n1: 8 });
    await Promise.all([cluster.join('n2'), cluster.join('n3'), cluster.join('n4')]);
    await cluster.settled({ n1: 2, n2: 2, n3: 2, n4: 2 });
    const drained = await Promise.all(['n1', 'n2', 'n3'].map(name => cluster.client.drain(name)));
    expect(drained.map(({ node }) => node)).toEqual(['n1', 'n2', 'n3']);
    await cluster.settled({ n4: 8 });
    for (const name of ['n1', 'n2', 'n3']) expect(await cluster.agents.get(name)?.ended).toEqual({ how: 'left' });
    cluster.go();
    expect(await job.done).toMatchObject({ state: 'done', status: 0 });
    expect(output).toHaveLength(8);
    expect(new Set(output.map(text => text.split(' on ')[1]))).toEqual(new Set(['n4\n']));
  });

  it('keeps a node whose drain is cancelled', async () => {
    cluster = await TestCluster.start(2);
    const { job } = await cluster.submit(4, 'until,exit=0', { FAKE_BUSY: '1000' });
    await cluster.settled({ n1: 2, n2: 2 });
    const drain = cluster.client.drain('n1');
    const refused = expect(drain).rejects.toMatchObject({ code: 'cancelled' });
    await cluster.until('a thread that is busy', event => event.event === 'move-failed');
    expect(await cluster.client.keep('n1')).toEqual({ node: 'n1' });
    await refused;
    expect((await cluster.client.nodes()).map(({ name, state }) => [name, state])).toEqual([
      ['n1', 'active'],
      ['n2', 'active'],
    ]);
    cluster.go();
    expect(await job.done).toMatchObject({ state: 'done', status: 0 });
  });

  it('lets an agent leave by itself when it is asked to by a signal', async () => {
    cluster = await TestCluster.start(2);
    const { job } = await cluster.submit(4, 'until,exit=0');
    await cluster.settled({ n1: 2, n2: 2 });
    cluster.agents.get('n1')?.leave('SIGTERM');
    expect(await cluster.agents.get('n1')?.ended).toEqual({ how: 'left' });
    await cluster.settled({ n2: 4 });
    cluster.go();
    expect(await job.done).toMatchObject({ state: 'done', status: 0 });
  });

  it('lets an agent without threads leave at once when there is no coordinator to ask', async () => {
    cluster = await TestCluster.start(1);
    await cluster.client.close();
    await cluster.coordinator.close();
    const agent = cluster.agents.get('n1');
    agent?.leave('SIGTERM');
    expect(await agent?.ended).toEqual({ how: 'left' });
  });

  it('refuses to drain the last node of a job; it leaves when the job is over if it asked itself', async () => {
    cluster = await TestCluster.start(1);
    const { job } = await cluster.submit(1, 'until,exit=0');
    await cluster.settled({ n1: 1 });
    await expect(cluster.client.drain('n1')).rejects.toMatchObject({
      code: 'last-node',
      message: `cannot drain node n1: it is the last node, and job ${job.id} runs on it`,
    });
    const agent = cluster.agents.get('n1');
    agent?.leave('SIGTERM');
    cluster.go();
    expect(await job.done).toMatchObject({ state: 'done', status: 0 });
    expect(await agent?.ended).toEqual({ how: 'left' });
  });

  it('puts a thread whose addresses are taken into one more host on the same node, which goes when it is empty', async () => {
    cluster = await TestCluster.start(1);
    const { job } = await cluster.submit(4, 'until,exit=0', { FAKE_COLLIDE: '1' });
    await cluster.settled({ n1: 4 });
    await cluster.join('n2');
    await cluster.settled({ n1: 2, n2: 2 });
    const collision = await cluster.until('collision', event => event.event === 'collision');
    expect(collision).toMatchObject({ job: job.id, node: 'n2' });
    expect(cluster.agents.get('n2')?.hostPids).toHaveLength(2);
    await cluster.until('moved with a collision', event => event.event === 'moved' && event.collision);
    await cluster.client.drain('n2');
    await cluster.settled({ n1: 4 });
    cluster.go();
    expect(await job.done).toMatchObject({ state: 'done', status: 0 });
  });

  it('tries again when a thread is busy', async () => {
    cluster = await TestCluster.start(1);
    const { job } = await cluster.submit(2, 'until,exit=0', { FAKE_BUSY: '3' });
    await cluster.settled({ n1: 2 });
    await cluster.join('n2');
    await cluster.settled({ n1: 1, n2: 1 });
    cluster.go();
    expect(await job.done).toMatchObject({ state: 'done', status: 0 });
  });

  it('moves a thread by hand, and leaves it there', async () => {
    cluster = await TestCluster.start(2);
    const { job } = await cluster.submit(2, 'until,exit=0');
    await cluster.settled({ n1: 1, n2: 1 });
    await pause(800);
    expect(await cluster.client.move('0.1', 'n2')).toMatchObject({ thread: '0.1', from: 'n1', to: 'n2' });
    await cluster.settled({ n1: 0, n2: 2 });
    await pause(1_000);
    expect(await cluster.threads()).toEqual({ n1: 0, n2: 2 });
    await job.cancel();
  });

  it('refuses moves that cannot be in one line that says why, and leaves the threads alone', async () => {
    cluster = await TestCluster.start(2);
    const { client } = cluster;
    const { job } = await cluster.submit(2, 'until,exit=0', { FAKE_BUSY: '1' }, { balance: 'none' });
    await cluster.settled({ n1: 1, n2: 1 });
    const refusal = (thread: string, node: string) =>
      client.move(thread, node).then(
        () => null,
        ({ code, message }) => ({ code, message }),
      );
    expect(await refusal('0.9', 'n2')).toMatchObject({ code: 'not-found', message: expect.stringContaining('0.9') });
    expect(await refusal('0.1', 'n9')).toMatchObject({ code: 'not-found', message: expect.stringContaining('n9') });
    expect(await client.move('0.1', 'n1')).toMatchObject({ from: 'n1', to: 'n1', bytes: 0 }); // it is there
    // Its host says that it is busy, once; what was asked for meanwhile is refused at once.
    const both = await Promise.all([refusal('0.1', 'n2'), refusal('0.1', 'n2')]);
    expect(both).toContainEqual({ code: 'busy', message: 'thread 0.1 is being moved already' });
    expect(both).toContainEqual({
      code: 'refused',
      message: expect.stringMatching(/^thread 0\.1 did not move to n2: [^\n]+$/),
    });
    expect(await cluster.threads()).toEqual({ n1: 1, n2: 1 });
    cluster.go();
    expect(await job.done).toMatchObject({ state: 'done', status: 0 });
    await cluster.until('the end', event => event.event === 'job' && event.state === 'done');
    expect(await refusal('0.1', 'n2')).toMatchObject({ code: 'not-found', message: expect.stringContaining('0.1') });
  });

  it('does not use a node with another build of dmi-host for the job, and goes on', async () => {
    cluster = await TestCluster.start(1);
    const { job } = await cluster.submit(2, 'until,exit=0', { FAKE_BUILD_n2: 'another' });
    await cluster.settled({ n1: 2 });
    await cluster.join('n2');
    await pause(800);
    expect(await cluster.threads()).toEqual({ n1: 2, n2: 0 });
    cluster.go();
    expect(await job.done).toMatchObject({ state: 'done' });
    const next = await cluster.submit(1, 'exit=0', { FAKE_BUILD_n2: 'another' });
    expect((await next.job.done).reason).toMatch(/node n[12] cannot host job .*: its dmi-host is another build/);
  });

  it('moves off threads that are created while their node drains', async () => {
    cluster = await TestCluster.start(2);
    const { job } = await cluster.submit(2, 'sleep=0.4,spawn=10,until,exit=0');
    await cluster.settled({ n1: 1, n2: 1 });
    await cluster.client.drain('n1');
    await cluster.settled({ n2: 22 });
    cluster.go();
    expect(await job.done).toMatchObject({ state: 'done' });
  });
});

describe('membership', () => {
  it('gives equal names a number, and refuses a name that was asked for and is taken', async () => {
    cluster = await TestCluster.start(0);
    const { Agent } = await import('@dmi/node-agent');
    const { FAKE_HOST } = await import('./harness.js');
    const options = { join: cluster.coordinator.address, hostBinary: FAKE_HOST };
    const [a, b] = [await Agent.start(options), await Agent.start(options)];
    expect(b.name).toBe(`${a.name}-2`);
    await expect(Agent.start({ ...options, name: a.name })).rejects.toMatchObject({ code: 'name-taken' });
    await Promise.all([a.stop(), b.stop()]);
  });

  it('refuses an agent of another version with one line on both sides', async () => {
    cluster = await TestCluster.start(0);
    await expect(cluster.join('old', { version: '0.0.9' })).rejects.toMatchObject({
      code: 'version',
      message: 'version mismatch: the agent is dmi 0.0.9 (wire 1), the coordinator is dmi 0.1.0 (wire 1)',
    });
  });

  it('keeps a node whose connection breaks for a while, and loses nothing that was said meanwhile', async () => {
    cluster = await TestCluster.start(2);
    const { job, output } = await cluster.submit(4, 'until,print,exit=0');
    await cluster.settled({ n1: 2, n2: 2 });
    cutConnections(cluster);
    cluster.go();
    const other = await import('@dmi/core').then(({ Client }) =>
      Client.connect({ address: cluster.coordinator.address, token: null }),
    );
    cluster.client = other;
    await other.call('watch', { job: job.id, output: true });
    for (let i = 0; i < 100 && (await other.jobs()).at(-1)?.state !== 'done'; i++) await pause(50);
    expect((await other.jobs()).at(-1)).toMatchObject({ state: 'done', status: 0 });
    void output;
  });

  it('takes a node for dead that stays away, fails its jobs with the reason, and spares others', async () => {
    cluster = await TestCluster.start(2, { graceMs: 500 });
    const { job } = await cluster.submit(2, 'sleep=60');
    await cluster.settled({ n1: 1, n2: 1 });
    const agent = cluster.agents.get('n1');
    (agent as unknown as { leave: unknown }).leave = () => {};
    await agent?.stop();
    const result = await job.done;
    expect(result.state).toBe('failed');
    await cluster.until('leave', event => event.event === 'leave' && event.node === 'n1');
    expect((await cluster.client.nodes()).map(({ name }) => name)).toEqual(['n2']);
  });
});

describe('a clock that is set', () => {
  it('ends no grace period early', async () => {
    cluster = await TestCluster.start(2, { graceMs: 1_500 });
    await cluster.agents.get('n1')?.stop();
    await cluster.until('down', event => event.event === 'link' && event.state === 'down');
    const begin = performance.now();
    const clock = vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 86_400_000);
    try {
      await cluster.until('leave', event => event.event === 'leave' && event.node === 'n1', 1e9);
    } finally {
      clock.mockRestore();
    }
    expect(performance.now() - begin).toBeGreaterThan(1_000);
  });
});

describe('a client that attaches', () => {
  it('is a lite member of the view until it detaches, and is told every change', async () => {
    cluster = await TestCluster.start(1);
    const { job } = await cluster.submit(1, 'until,exit=0');
    await cluster.settled({ n1: 1 });
    const attachment = await cluster.client.attach(job.id.slice(0, 5));
    expect(attachment).toMatchObject({ job: job.id, member: 1, build: 'fake' });
    expect(attachment.key).toHaveLength(32);
    expect(attachment.view).toMatchObject({ full: true, epoch: 1, members: [{ id: 0 }], shards: [[0, 1024, 0]] });
    const changes: ViewChange[] = [];
    attachment.onView(change => changes.push(change));
    await attachment.announce('127.0.0.1', 4242);
    await cluster.join('n2');
    while (changes.length < 2) await pause(20);
    expect(changes[0]).toMatchObject({ full: true, epoch: 2 });
    expect(changes[0]?.members.at(-1)).toMatchObject({ id: 1, state: 'lite', host: '127.0.0.1', port: 4242, node: '' });
    expect(changes[1]).toMatchObject({
      full: false,
      epoch: 3,
      members: [{ id: 2, node: 'n2' }],
      shards: [[512, 512, 2]],
    });
    await attachment.detach();
    await attachment.detach();
    const gone = await cluster.until(
      'gone',
      event => event.event === 'member' && event.member === 1 && event.state === 'gone',
    );
    expect(gone).toMatchObject({ epoch: 4, lite: true });
    cluster.go();
    expect(await job.done).toMatchObject({ state: 'done', status: 0 });
    await expect(cluster.client.attach(job.id)).rejects.toMatchObject({ code: 'not-found' });
  });
});

/** Breaks every connection of the coordinator, as a network would. */
function cutConnections({ coordinator }: TestCluster): void {
  const { clients } = (coordinator as unknown as { server: { clients: Set<{ terminate(): void }> } }).server;
  for (const socket of clients) socket.terminate();
}
