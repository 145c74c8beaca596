import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ThreadRow } from '@dmi/core';
import { afterEach, expect, it } from 'vitest';
import { ROOT } from './cluster/guests.js';
import { type Command, Processes, until } from './cluster/processes.js';

// A whole job whose threads want the same addresses: all regions lie in a zone of a few places. While every host has room for its own,
// each move into a host with k threads finds its place taken with the chance k / PLACES, and once all threads are on one node
// they cannot be in one host.

const PLACES = 10;
const THREADS = 12;
const REGION = 1 << 24; // 16 MiB
const LOW = 0x200000000000;
const zone = `${LOW.toString(16)}-${(LOW + PLACES * REGION).toString(16)}`;

const dir = mkdtempSync(join(tmpdir(), 'dmi-collisions-'));
let cluster: Processes | null = null;
afterEach(async () => {
  await cluster?.stop();
  rmSync(dir, { recursive: true, force: true });
});

const count = (job: Command, event: string): number => job.log().filter(one => one.event === event).length;

it('goes through joins and drains to the right answer while its threads collide', async () => {
  cluster = await Processes.start(['a', 'b']);
  const over = join(dir, 'over');
  const program = `${ROOT}/test/apps/build/stress`;
  const job = cluster.run(
    ...['-n', `${THREADS}`, '--timeout', '200', '--thread-memory', `${REGION}`, '--zone', zone],
    ...['--', program, '100', over],
  );
  const where = () => {
    const nodes: Record<string, number> = {};
    for (const { node } of cluster?.json<ThreadRow[]>('ps') ?? []) nodes[node] = (nodes[node] ?? 0) + 1;
    return nodes;
  };
  // Its main thread and those that it has created.
  await until('all run', () => Object.values(where()).reduce((sum, n) => sum + n, 0) === THREADS + 1, 60);
  await cluster.join('c');
  await until('some are on the new node', () => (where().c ?? 0) > 0, 60);
  for (const node of ['a', 'b']) {
    const { stdout, stderr, status } = cluster.dmi('drain', node);
    expect({ status, stdout, stderr }).toMatchObject({ status: 0, stdout: expect.stringContaining('drained in') });
  }
  expect(where()).toEqual({ c: THREADS + 1 });
  // As many as do not fit beside the others, at least; and no more than have moved.
  expect(count(job, 'collision')).toBeGreaterThanOrEqual(THREADS + 1 - PLACES);
  expect(count(job, 'collision')).toBeLessThanOrEqual(count(job, 'moved'));
  expect(cluster.hosts().length).toBeGreaterThan(1);
  writeFileSync(over, '');
  const { stdout, stderr, status } = await job.ended;
  expect({ status, stdout, stderr }).toMatchObject({
    status: 0,
    stdout: expect.stringMatching(/^seed \d+\nok stress\n$/),
  });
  expect(count(job, 'move-failed')).toBe(0);
});
