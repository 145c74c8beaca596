import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { Guests, Job } from './harness.js';

const guests = new Guests();
let job: Job | undefined;
afterEach(() => job?.stop());
afterAll(() => guests.remove());

describe('the name of a socket', () => {
  it('is relative to the thread’s own directory, however long that is', async () => {
    const program = guests.build('unix.c');
    const alone = guests.file('alone');
    mkdirSync(alone);
    expect(spawnSync(program, [alone], { encoding: 'utf8' }).stdout).toBe('ok\n');
    const directory = guests.file('directory');
    mkdirSync(directory);
    job = await Job.start(program, { argv: [directory] });
    // Side by side in one host, each in a directory of its own.
    const threads = [await job.thread(1, 0, 3), await job.thread(1, 1, 3), await job.thread(1, 2, 3)];
    for (const thread of threads) {
      expect((await job.exited(thread)).status).toBe(0);
      expect(job.output(thread)).toBe('ok\n');
    }
    expect(job.host(1).warnings()).toEqual([]);
  });
});
