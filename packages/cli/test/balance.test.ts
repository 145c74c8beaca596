import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DEFAULT_BALANCE } from '@dmi/core';
import { afterEach, describe, expect, it } from 'vitest';
import { balanceFile } from '../src/balance-file.js';
import { pause, TestCluster } from './harness.js';

const dir = mkdtempSync(join(tmpdir(), 'dmi-balance-'));
let cluster: TestCluster | null = null;
afterEach(async () => {
  await cluster?.stop();
  cluster = null;
}, 60_000);
afterEach(() => rmSync(join(dir, 'options.json'), { force: true }));

const fast = { ...DEFAULT_BALANCE, interval: 0.2, cooldown: 0.5 };
/** Four threads on two nodes of a core each, the two on the first node with nearly all the work. */
const UNEVEN = 'cpu=0.5/0.5/0.01/0.01,until,exit=0';

describe('--balance load', () => {
  it('moves by measured processor time, not by number, and then leaves the threads where they are', async () => {
    cluster = await TestCluster.start(2);
    const { job } = await cluster.submit(4, UNEVEN, {}, { balance: 'load', balanceOptions: fast });
    await cluster.settled({ n1: 1, n2: 3 });
    const moved = await cluster.until('moved', event => event.event === 'moved'); // told of after the thread counts there
    expect(moved).toMatchObject({ from: 'n1', to: 'n2', cause: 'balance' });
    const [plan] = await cluster.client.plan({ job: job.id });
    expect(plan).toMatchObject({ policy: 'load', own: 'load', measured: 4, moves: [] });
    cluster.go();
    expect(await job.done).toMatchObject({ state: 'done', status: 0 });
    expect(cluster.events.filter(event => event.event === 'moved')).toHaveLength(1);
  });

  it('empties a node that drains, and fills one that joins', async () => {
    cluster = await TestCluster.start(2);
    const { job } = await cluster.submit(
      4,
      'cpu=0.9/0.9/0.9/0.9,until,exit=0',
      {},
      { balance: 'load', balanceOptions: fast },
    );
    await cluster.settled({ n1: 2, n2: 2 });
    await cluster.client.drain('n1');
    await cluster.settled({ n2: 4 });
    await cluster.join('n3');
    await cluster.settled({ n2: 2, n3: 2 });
    cluster.go();
    expect(await job.done).toMatchObject({ state: 'done', status: 0 });
  });
});

describe('--balance affinity', () => {
  it('brings together the threads that options name as sharing pages', async () => {
    cluster = await TestCluster.start(2);
    const sharing: [number, number, number][] = [
      [0, 2, 2e9],
      [1, 3, 2e9],
    ];
    const { job } = await cluster.submit(
      4,
      'cpu=0.4/0.4/0.4/0.4,until,exit=0',
      {},
      {
        balance: 'affinity',
        balanceOptions: { ...fast, sharing },
      },
    );
    const pairs = async () => {
      const rows = (await cluster?.client.threads()) ?? [];
      const at = new Map(rows.map(({ thread, node }) => [thread, node]));
      return at.get('0.1') === at.get('1.1') && at.get('0.2') === at.get('1.2') && at.get('0.1') !== at.get('0.2');
    };
    // The pairs are together, one on each node; the test's own limit ends it if that never comes.
    while (!(await pairs())) await pause(50);
    cluster.go();
    expect(await job.done).toMatchObject({ state: 'done', status: 0 });
  });
});

describe('dmi plan', () => {
  it('shows what a policy would move and why, as a table and as JSON, and moves nothing', async () => {
    cluster = await TestCluster.start(2);
    const { job } = await cluster.submit(4, UNEVEN, {}, { balance: 'none' });
    await cluster.settled({ n1: 2, n2: 2 });
    const own = await cluster.dmi('plan');
    expect(own.stdout).toMatch(
      new RegExp(`^${job.id} true, by none: nothing to move\nNODE +CORES +THREADS +LOAD\nn1 `),
    );
    const { stdout, status } = await cluster.dmi('plan', job.id.slice(0, 4), '--policy', 'load');
    expect(status).toBe(0);
    const lines = stdout.split('\n');
    expect(lines[0]).toBe(`${job.id} true, by load (the job runs with none): 1 thread would move, 4.0 KiB`);
    expect(lines[2]).toMatch(
      /^0\.[12] +n1 +n2 +0\.[45]\d +4\.0 KiB +n1 has (0\.9|1\.0)\d of load per core, n2 0\.[01]\d; this thread 0\.\d\d$/,
    );
    expect(lines[4]).toMatch(/^n1 +1 +2 -> 1 +(0\.9|1\.0)\d -> 0\.[45]\d$/);
    const json = JSON.parse((await cluster.dmi('plan', '--policy', 'load', '--json')).stdout);
    expect(json).toMatchObject([
      { job: job.id, policy: 'load', measured: 4, moves: [{ from: 'n1', to: 'n2' }], held: [] },
    ]);
    expect(await cluster.threads()).toEqual({ n1: 2, n2: 2 });
    await job.cancel();
  });

  it.each([
    [['plan', 'nosuch'], 2, 'dmi: there is no job "nosuch"\n     see: dmi jobs\n'],
    [['plan', 'j'], 2, /^dmi: "j" could be any of these jobs: j\w+, j\w+\n {5}give more of the id\n$/],
    [
      ['plan', '--policy', 'best'],
      2,
      /argument 'best' is invalid. Allowed choices are threads, load, affinity, none\./,
    ],
  ])('answers %j with status %i and one line', async (args, expected, message) => {
    cluster = await TestCluster.start(1);
    const jobs = [await cluster.submit(1, 'until,exit=0'), await cluster.submit(1, 'until,exit=0')];
    const { status, stderr } = await cluster.dmi(...args);
    expect(status).toBe(expected);
    if (typeof message === 'string') expect(stderr).toBe(message);
    else expect(stderr).toMatch(message);
    for (const { job } of jobs) await job.cancel();
  });
});

describe('--balance-options', () => {
  it.each([
    ['{"tolerance": -1}', /balance options in \S+: tolerance: /],
    ['{"weights": {"load": "much"}}', /balance options in \S+: weights\.load: /],
    ['{"tolerence": 0.3}', /balance options in \S+: tolerence: /],
    ['{"sharing": [[0, 1, 5], [0, "x", 5]]}', /balance options in \S+: sharing\.1\.1: neither a thread’s number/],
    ['{"interval": 0}', /balance options in \S+: interval: /],
    ['{', /options\.json is not JSON: /],
  ])('refuses %s, and names the member', (text, message) => {
    writeFileSync(join(dir, 'options.json'), text);
    expect(() => balanceFile(join(dir, 'options.json'))).toThrow(message);
  });

  it('fills in what is not said', () => {
    writeFileSync(join(dir, 'options.json'), '{"weights": {"load": 2}}');
    const read = balanceFile(join(dir, 'options.json'));
    expect(read).toEqual({ ...DEFAULT_BALANCE, weights: { load: 2, bytes: 1, hosts: 1, sharing: 1 } });
  });

  it('names a file that is not there', async () => {
    cluster = await TestCluster.start(1);
    const { status, stderr } = await cluster.dmi('run', '--balance-options', '/nosuch', '/bin/true');
    expect([status, stderr]).toEqual([
      2,
      expect.stringMatching(/^dmi: cannot read the balance options from \/nosuch: /),
    ]);
  });
});
