import { afterAll, afterEach, expect, it } from 'vitest';
import { Guests, Job, until } from './harness.js';

// Threads at random addresses of a zone so small that they often want the same.

const guests = new Guests();
let job: Job;
afterEach(() => job.stop());
afterAll(() => guests.remove());

const LOW = 0x200000000000;
const REGION = 1 << 24;
const SLOTS = 64;

it('collide exactly when their addresses are taken, as often as chance has it', async () => {
  job = await Job.start(guests.build('stays.c', '-static-pie'), {
    hosts: 2,
    threadMemory: REGION,
    zone: [LOW, LOW + SLOTS * REGION],
  });
  const [from, to] = [job.host(1), job.host(2)];
  // Half of the places over there are taken; every place here is one of all with the same chance.
  for (let i = 0; i < SLOTS / 2; i++) {
    from.send({ t: 'start', role: 'main', rank: 0, count: 1, threads: 1 });
    to.send({ t: 'start', role: 'main', rank: 0, count: 1, threads: 1 });
  }
  await until('all to run', () => [from, to].every(h => h.all('output').length === SLOTS / 2));
  const taken = new Set((await to.report()).threads.map(t => t.regions[0]?.[0]));
  expect(taken.size).toBe(SLOTS / 2);
  let collisions = 0;
  for (const { thread, regions } of (await from.report()).threads) {
    const base = regions[0]?.[0] as number;
    expect((base - LOW) % REGION).toBe(0);
    const moved = await job.move(thread, 1, 2);
    expect(moved).toMatchObject(taken.has(base) ? { ok: false, code: 'collision' } : { ok: true });
    if (!moved.ok) collisions++;
  }
  // 32 draws without repetition, half of which hit: 16 on average, standard deviation 2; six of them to either side.
  expect(collisions).toBeGreaterThanOrEqual(4);
  expect(collisions).toBeLessThanOrEqual(28);
  expect((await from.report()).threads.length).toBe(collisions);
});
