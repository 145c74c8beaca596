import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, describe, expect, it } from 'vitest';
import { Guests } from './cluster/guests.js';
import { InProcess } from './cluster/in-process.js';
import { until } from './cluster/processes.js';

let cluster: InProcess | null = null;
const own = process.env.TMPDIR;
const dir = mkdtempSync(join(tmpdir(), 'dmi-leaks-'));
afterEach(async () => {
  await cluster?.stop();
  if (own === undefined) delete process.env.TMPDIR;
  else process.env.TMPDIR = own;
  rmSync(dir, { recursive: true, force: true });
});

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** What a job could leave behind. */
function inventory() {
  collect();
  const children = readdirSync('/proc/self/task').flatMap(task =>
    readFileSync(`/proc/self/task/${task}/children`, 'utf8').split(' ').filter(Boolean),
  );
  return {
    processes: children.length,
    descriptors: readdirSync('/proc/self/fd').length,
    timers: process.getActiveResourcesInfo().filter(name => name === 'Timeout').length,
    files: readdirSync(dir, { recursive: true }).sort(),
    shared: readdirSync('/dev/shm').filter(name => name.includes('dmi')),
    heap: process.memoryUsage().heapUsed,
  };
}

describe('two hundred jobs in a row', () => {
  it('leave no process, descriptor, timer, file or memory behind', { timeout: 400_000 }, async () => {
    process.env.TMPDIR = dir; // of the cluster and of its hosts
    const guests = new Guests();
    cluster = await InProcess.start(['a']);
    const { client, coordinator } = cluster;
    // So that a job's description that is kept somewhere weighs more than the records of how jobs ended, which are.
    const ballast = `BALLAST=${'x'.repeat(100_000)}`;
    const program = guests.build('rounds');
    const run = async (jobs: number) => {
      for (let i = 0; i < jobs; i++) {
        const job = await cluster?.run(program, 2, [], [ballast]);
        expect(await job?.job.done).toMatchObject({ state: 'done', status: 0 });
        expect(job?.stdout().trim().split('\n').sort()).toEqual(['ok rounds', 'round 0']);
      }
      await until('the last hosts’ processes have been waited for', () => inventory().processes === 0);
    };
    await run(50);
    const before = inventory();
    await run(150);
    const after = inventory();

    expect({ ...after, heap: 0 }).toEqual({ ...before, heap: 0 });
    expect(after.shared).toEqual([]);
    expect((after.heap - before.heap) / 150).toBeLessThan(16_384);
    expect(coordinator.cluster.jobs.size).toBe(0);
    expect(await client.threads()).toEqual([]);
    guests.remove();
  });
});
