import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ROOT } from './cluster/guests.js';
import { type Command, Processes, until } from './cluster/processes.js';

// Applications of global memory (test/apps, built by its Makefile): each compares what its threads computed together with
// a sequential computation of its own, prints its seed and `ok NAME`.

const OTHERS = ['poolsort']; // has sizes of its own
const PROGRAMS = readdirSync(`${ROOT}/test/apps`)
  .filter(file => file.endsWith('.c'))
  .map(file => file.slice(0, -2))
  .filter(name => !OTHERS.includes(name))
  .sort();
// So many jobs at a time that two cores always have something to do.
const AT_ONCE = 4;
const BATCHES = Array.from({ length: Math.ceil(PROGRAMS.length / AT_ONCE) }, (_, i) => ({
  names: PROGRAMS.slice(i * AT_ONCE, (i + 1) * AT_ONCE),
}));

function path(name: string): string {
  return `${ROOT}/test/apps/build/${name}`;
}

const dir = mkdtempSync(join(tmpdir(), 'dmi-apps-'));
/** One cluster for all, as starting one takes longer than what runs on it: the nodes it has now, the oldest first. */
let cluster: Processes | null = null;
const nodes: string[] = [];
let joined = 0;

async function stop(): Promise<void> {
  await cluster?.stop();
  cluster = null;
  nodes.length = 0;
}

// What failed may have left jobs behind.
afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') await stop();
});
afterAll(async () => {
  await stop();
  rmSync(dir, { recursive: true });
});

async function joinNode(): Promise<void> {
  const name = `n${joined++}`;
  cluster ??= await Processes.start([]);
  await cluster.join(name);
  nodes.push(name);
}

/** The cluster, with at least `n` nodes. */
async function withNodes(n: number): Promise<Processes> {
  while (nodes.length < n) await joinNode();
  if (!cluster) throw new Error('no nodes were asked for');
  return cluster;
}

function isRunning(job: Command): boolean {
  if (!job.events || !existsSync(job.events)) return false; // the command is still starting
  return job.log().some(event => event.event === 'job' && event.state === 'running');
}

function hasMoved(job: Command, cause: 'join' | 'drain'): boolean {
  return job.log().some(event => event.event === 'moved' && event.cause === cause);
}

async function expectOk(name: string, job: Command): Promise<void> {
  const { stdout, stderr, status } = await job.ended;
  expect({ name, status, said: stdout.split('\n').slice(0, -1), stderr }).toEqual({
    name,
    status: 0,
    said: [expect.stringMatching(/^seed \d+$/), `ok ${name}`],
    stderr: expect.not.stringContaining('dmi:'),
  });
}

function onNodes(n: number): void {
  describe(`applications agree with their sequential computation on ${n} nodes`, () => {
    beforeAll(async () => {
      await withNodes(n);
    });

    it.each(BATCHES)('$names', async ({ names }) => {
      const on = await withNodes(n);
      const jobs = names.map(name => on.run('-n', '4', '--timeout', '60', '--', path(name)));
      await Promise.all(jobs.map((job, i) => expectOk(names[i] ?? '', job)));
    });
  });
}

onNodes(1);
onNodes(2);

describe('applications agree with their sequential computation while a node joins and one leaves', () => {
  it.each(BATCHES)('$names', async ({ names }) => {
    const on = await withNodes(2);
    const seconds = '60'; // rounds go on at most this long
    const over = join(dir, `over-${joined}`); // and no longer than this file is missing
    const jobs = names.map(name => on.run('-n', '4', '--timeout', '120', '--', path(name), seconds, over));
    await until('all run', () => jobs.every(isRunning), 60);
    await joinNode();
    await until('every job has threads on the new node', () => jobs.every(job => hasMoved(job, 'join')), 60);
    const oldest = nodes.shift() ?? '';
    expect(on.dmi('drain', oldest).stdout).toMatch(/ drained in/);
    writeFileSync(over, '');
    await Promise.all(jobs.map((job, i) => expectOk(names[i] ?? '', job)));
    for (const job of jobs) expect(hasMoved(job, 'drain')).toBe(true);
  });
});

onNodes(4);

describe('an array of four times what a node offers', () => {
  // The first node offers 4 MiB, the others 4.25 MiB: the pools together are more than the array by 3/4 MiB and no more, as a
  // mapping needs room in the pools of all nodes together. The newcomer offers what the first one took with it.
  const LEAST = 4 << 20;
  const MORE = LEAST + (256 << 10);
  const ARRAY = 4 * LEAST;
  const POOLS = LEAST + 3 * MORE;

  /** MiB that the job keeps on a node, as the refusal of its drain says. */
  function owned(name: string): number {
    const { stderr } = cluster?.dmi('drain', name, '--deadline', '10m') ?? {};
    const [, size, unit] = /keeps ([\d.]+) (\w+) of global memory there/.exec(stderr ?? '') ?? [];
    expect({ name, unit, stderr }).toEqual({
      name,
      unit: 'MiB',
      stderr: expect.stringContaining('start another agent first'),
    });
    return Number(size);
  }

  it('is sorted beyond the pools, survives a node that leaves, and what no pool has room for is refused', async () => {
    await stop();
    cluster = await Processes.start([]);
    await cluster.join('least', '--memory', `${LEAST}`);
    for (const name of ['b', 'c', 'd']) await cluster.join(name, '--memory', `${MORE}`);
    const over = join(dir, `over-${Date.now()}`);
    const job = cluster.run('-n', '4', '--timeout', '120', '--', path('poolsort'), `${ARRAY}`, `${POOLS}`, over);
    await until('all is sorted', () => job.stdout.includes('sorted') || job.child.exitCode !== null, 120);

    // Nothing more fits: no node can go, and what its refusal says it owns comes to be within its pool (as rounded there).
    for (const name of ['least', 'b', 'c', 'd'])
      await until(`${name} is within its pool`, () => owned(name) <= (name === 'least' ? 4 : 4.3));

    await cluster.join('e', '--memory', `${LEAST}`);
    expect(cluster.dmi('drain', 'least').stdout).toMatch(/^least drained in/);
    writeFileSync(over, '');
    const { stdout, stderr, status } = await job.ended;
    expect({ status, stdout, stderr }).toEqual({
      status: 0,
      stdout: expect.stringMatching(/^seed \d+\nsorted\nok poolsort\n$/),
      stderr: expect.not.stringContaining('dmi:'),
    });
  });
});
