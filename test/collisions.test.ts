import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { ThreadRow } from '@dmi/core';
import { afterAll, afterEach, expect, it } from 'vitest';
import { Guests } from './cluster/guests.js';
import { Processes, until } from './cluster/processes.js';
import { expectWhole } from './cluster/steps.js';

// A job whose threads have far too few addresses, through joins and drains.

const guests = new Guests();
const go = join(mkdtempSync(join(tmpdir(), 'dmi-go-')), 'go');
let cluster: Processes;
afterEach(() => cluster?.stop());
afterAll(() => {
  guests.remove();
  rmSync(dirname(go), { recursive: true, force: true });
});

it('a job with more threads than places goes on through joins and drains, in more hosts', async () => {
  const threads = 10;
  cluster = await Processes.start(['a', 'b']);
  // Six places of 64 MiB: ten threads cannot be in one host.
  const zone = ['--thread-memory', '64M', '--zone', '10000000000-10018000000'];
  const job = cluster.run('-n', String(threads), ...zone, guests.build('steps'), go, '100');
  await until('the job runs', () => job.stdout.includes('step 3'));
  await cluster.join('c');
  const nodes = () => new Set(cluster.json<ThreadRow[]>('ps').map(row => row.node));
  await until('the new node has threads', () => nodes().has('c'));
  expect(cluster.dmi('drain', 'a').status).toBe(0);
  expect(cluster.dmi('drain', 'b').status).toBe(0);
  expect([...nodes()]).toEqual(['c']);
  expect(cluster.json<ThreadRow[]>('ps')).toHaveLength(threads);
  expect(cluster.hosts().length).toBeGreaterThanOrEqual(2);
  writeFileSync(go, '');
  const { stdout, status } = await job.ended;
  expect(status).toBe(0);
  expectWhole(stdout, threads);
  const collided = job.log().filter(event => event.event === 'moved' && event.collision);
  expect(collided.length).toBeGreaterThan(0);
});
