import type { ThreadRow } from '@dmi/core';
import { afterEach, describe, expect, it } from 'vitest';
import { goFile } from './cluster/go.js';
import { guestPrograms } from './cluster/guests.js';
import { Processes, until } from './cluster/processes.js';
import { expectWhole } from './cluster/steps.js';

// A node with many threads is emptied, by the real host and the real agents.

const THREADS = 64;
/** More than a thread's pages from which it runs on while they go over. */
const MIB = 5;
const guests = guestPrograms();
let cluster: Processes;
const go = goFile();
afterEach(() => cluster?.stop());

describe('a drain of many threads', () => {
  it('moves every one of them once, counts them as they go, and loses nothing', async () => {
    cluster = await Processes.start(['a']);
    const memory = `${4 * MIB}M`;
    const steps = [guests.build('steps'), go.path, '500', '0', `${MIB}`];
    const job = cluster.run('-n', `${THREADS}`, '--balance', 'none', '--thread-memory', memory, ...steps);
    const every = (step: number) => () => job.stdout.split(` step ${step}\n`).length > THREADS;
    await until('every thread runs', every(0), 60);
    await cluster.join('b');

    const { status, stdout, stderr } = cluster.dmi('drain', 'a');
    expect(stderr).toContain(`draining a: ${THREADS} threads\n`);
    const counted = [...stderr.matchAll(/^ {2}(\d+) of 64: thread (\S+) -> b, (\S+) MiB$/gm)];
    expect(counted.map(([, number]) => Number(number))).toEqual(Array.from({ length: THREADS }, (_, i) => i + 1));
    expect(new Set(counted.map(([, , thread]) => thread)).size).toBe(THREADS);
    for (const [, , , size] of counted) expect(Number(size)).toBeGreaterThan(MIB);
    expect(stderr).toMatch(/^ {2}64 threads, \d+ MiB, at \S+ [KMG]iB\/s$/m);
    expect(stdout).toMatch(/^a drained in \d/);
    expect(status).toBe(0);
    expect((await cluster.agent('a').ended).status).toBe(0);
    expect(cluster.json<ThreadRow[]>('ps').map(({ node }) => node)).toEqual(Array(THREADS).fill('b'));

    const last = Math.max(...[...job.stdout.matchAll(/ step (\d+)$/gm)].map(([, step]) => Number(step)), 5);
    await until('every thread goes on over there', every(last + 1), 60);
    go.give();
    const end = await job.ended;
    expect(end.status).toBe(0);
    expectWhole(end.stdout, THREADS);
    const moved = job.log().filter(event => event.event === 'moved');
    expect(moved).toHaveLength(THREADS);
    expect(job.log().filter(event => event.event === 'move-failed')).toEqual([]);
  }, 180_000);
});
