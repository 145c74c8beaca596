import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { deadline } from '../src/values.js';
import { TestCluster } from './harness.js';

let cluster: TestCluster | null = null;
afterEach(async () => {
  await cluster?.stop();
  cluster = null;
}, 60_000);

/** Six threads on two nodes; those of the first have so many bytes. */
const sized = (...bytes: number[]) => `size=${bytes.join('/')},until,exit=0`;

function moved(): string[] {
  return (cluster?.events ?? []).flatMap(event => (event.event === 'moved' ? [event.thread] : []));
}

describe('a drain with a deadline', () => {
  it('takes the largest threads first when all fit, and is done', async () => {
    cluster = await TestCluster.start(2, { movesPerHost: 1 });
    const { job } = await cluster.submit(6, sized(1e6, 3e6, 2e6));
    await cluster.settled({ n1: 3, n2: 3 });
    expect(await cluster.client.drain('n1', { deadline: 60 })).toMatchObject({ node: 'n1' });
    expect(moved()).toEqual(['0.2', '0.3', '0.1']);
    cluster.go();
    expect(await job.done).toMatchObject({ state: 'done', status: 0 });
  });

  it('is refused when what is there cannot be moved in time; with partial the smallest threads go first', async () => {
    cluster = await TestCluster.start(2, { movesPerHost: 1 });
    const { job } = await cluster.submit(6, sized(2 ** 21, 2 ** 41, 2 ** 31), {}, { balance: 'none' });
    await cluster.settled({ n1: 3, n2: 3 });
    // A measured move: 2 MiB in a millisecond.
    await cluster.client.move('0.1', 'n2');
    const refused = await cluster.dmi('drain', 'n1', '--deadline', '2s');
    expect(refused.status).toBe(1);
    expect(refused.stderr).toMatch(
      /^dmi: cannot drain node n1 in 2 s: 2 threads and 2\.0 TiB need about 10\d\d s, at the 2\.0 GiB\/s of earlier moves\n {5}give it longer \(--deadline 12\d\ds\), or save what fits: --partial\n$/,
    );
    expect((await cluster.client.nodes()).map(({ state }) => state)).toEqual(['active', 'active']);
    await cluster.client.drain('n1', { deadline: 2, partial: true });
    expect(moved()).toEqual(['0.1', '0.3', '0.2']);
    await job.cancel();
  });

  it('says what could not be saved, goes on, and can be taken back', async () => {
    cluster = await TestCluster.start(2);
    const { job } = await cluster.submit(4, sized(5e6, 5e6), { FAKE_BUSY: '100000' });
    await cluster.settled({ n1: 2, n2: 2 });
    const { status, stdout, stderr } = await cluster.dmi('drain', 'n1', '--deadline', '1', '-o', 'json');
    expect(status).toBe(4);
    expect(JSON.parse(stdout)).toMatchObject({
      event: 'drain-overdue',
      node: 'n1',
      threads: 2,
      bytes: 1e7,
      left: [{ job: job.id }, { job: job.id }],
    });
    expect(stderr).toMatch(/ {2}not saved: thread 0\.1 of job j\w+, 4\.8 MiB: /);
    expect(stderr).toMatch(/dmi: node n1 was not empty in time: 2 threads, 9\.5 MiB, are still on it: 0\.[12] \(/);
    expect((await cluster.dmi('nodes')).stdout).toMatch(/^n1 +draining \(0 s left\) /m);
    expect((await cluster.dmi('drain', 'n1', '--cancel')).stdout).toBe('n1 stays\n');
    cluster.go();
    expect(await job.done).toMatchObject({ state: 'done', status: 0 });
  });

  it('is refused for a deadline in the past, a node that is not there, and one that could be several', async () => {
    cluster = await TestCluster.start(2);
    const { client } = cluster;
    await expect(client.drain('n1', { deadline: -5 })).rejects.toMatchObject({
      code: 'usage',
      message: 'the deadline for draining node n1 is in the past (5 s ago)',
    });
    await expect(client.drain('n', { deadline: 5 })).rejects.toMatchObject({ code: 'ambiguous' });
    await expect(client.drain('x', { deadline: 5 })).rejects.toMatchObject({
      code: 'not-found',
      message: 'there is no node "x"',
    });
    expect(await cluster.dmi('drain', 'n1', '--deadline', '2020-01-31T12:00:00Z')).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/^dmi: the deadline 2020-01-31T12:00:00Z is in the past \(\d+ s ago\)\n/),
    });
    expect((await client.nodes()).map(({ state }) => state)).toEqual(['active', 'active']);
  });

  it('reads deadlines as people write them', () => {
    expect([deadline('120'), deadline('120s'), deadline('2m'), deadline('1.5h')]).toEqual([120, 120, 120, 5400]);
    expect(deadline(new Date(Date.now() + 60_000).toISOString())).toBeGreaterThan(30);
    for (const wrong of ['soon', '2d', '-5', '', '31/1/2030']) expect(() => deadline(wrong)).toThrow(/write 120s, 2m/);
    expect(() => deadline('0')).toThrow('the deadline 0 leaves no time');
  });
});

describe('a spot notice', () => {
  it('becomes a drain with its deadline: the node shows it, and leaves when it is empty', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'dmi-notice-'));
    cluster = await TestCluster.start(1);
    const agent = await cluster.join('n2', { spot: { kind: 'file', path: join(dir, 'notice') } });
    const { job } = await cluster.submit(4, 'until,exit=0', { FAKE_BUSY: '3' });
    await cluster.settled({ n1: 2, n2: 2 });
    writeFileSync(join(dir, 'part'), '90');
    renameSync(join(dir, 'part'), join(dir, 'notice'));
    await cluster.until('the drain', event => event.event === 'drain-started' && event.node === 'n2');
    const leaves = (await cluster.client.nodes()).find(({ name }) => name === 'n2')?.leaves ?? 90;
    expect(leaves).toBeLessThanOrEqual(90);
    expect(await agent.ended).toEqual({ how: 'left' });
    await cluster.settled({ n1: 4 });
    cluster.go();
    expect(await job.done).toMatchObject({ state: 'done', status: 0 });
    rmSync(dir, { recursive: true });
  });
});
