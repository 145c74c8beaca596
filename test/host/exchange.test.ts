import { writeFileSync } from 'node:fs';
import { afterAll, afterEach, expect, it } from 'vitest';
import { Guests, Job, until } from './harness.js';

const guests = new Guests();
let job: Job;
afterEach(() => job.stop());
afterAll(() => guests.remove());

// Elements of 8 bytes, read in no order: what is said beside them must not grow with their number.
it('a read-write-set exchange moves at most 1.1 times what is exchanged', async () => {
  const go = guests.file('go');
  const rounds = 20;
  job = await Job.start(guests.build('exchange.c', 'dmi'), {
    hosts: 2,
    argv: [go, `${rounds}`],
    threadMemory: 1 << 26,
  });
  const main = await job.thread();
  const sent = async () => {
    const reports = await Promise.all(job.hosts.map(host => host.report()));
    return reports.reduce((sum, report) => sum + report.memory.bytesSent, 0);
  };
  await until('the threads to be ready', () => job.output().includes('ready'));
  const before = await sent();
  writeFileSync(go, '');
  await until('them to be done', () => job.output().includes('done'));
  const moved = (await sent()) - before;
  writeFileSync(`${go}.end`, '');
  expect((await job.exited(main)).status).toBe(0);
  const payload = Number(/payload (\d+)/.exec(job.output())?.[1]) * rounds;
  expect(moved).toBeGreaterThanOrEqual(payload);
  expect(moved).toBeLessThanOrEqual(1.1 * payload);
});
