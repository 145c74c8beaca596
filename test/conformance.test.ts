import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROOT } from './cluster/guests.js';
import { type Command, Processes, pause, until } from './cluster/processes.js';

// The C interface on the real thing: every program of test/dmi (built by its Makefile) covers one group of calls, checks
// itself and prints `ok NAME`.

const OTHERS = ['hammer']; // not conformance: hammer.test.ts
const PROGRAMS = readdirSync(`${ROOT}/test/dmi`)
  .filter(file => file.endsWith('.c'))
  .map(file => file.slice(0, -2))
  .filter(name => !OTHERS.includes(name))
  .sort();

function path(name: string): string {
  return `${ROOT}/test/dmi/build/${name}`;
}

const dir = mkdtempSync(join(tmpdir(), 'dmi-conformance-'));
let cluster: Processes;
afterAll(async () => {
  await cluster?.stop();
  rmSync(dir, { recursive: true });
});

function isRunning(job: Command): boolean {
  if (!job.events || !existsSync(job.events)) return false; // the command is still starting
  return job.log().some(event => event.event === 'job' && event.state === 'running');
}

async function expectOk(name: string, job: Command): Promise<void> {
  const { stdout, stderr, status } = await job.ended;
  expect({ name, status, said: stdout.split('\n').filter(line => /^(ok|FAILED)/.test(line)), stderr }).toEqual({
    name,
    status: 0,
    said: [`ok ${name}`],
    stderr: expect.not.stringContaining('dmi:'),
  });
}

describe.each([1, 2, 4])('on %i nodes', nodes => {
  beforeAll(async () => {
    await cluster?.stop();
    cluster = await Processes.start(Array.from({ length: nodes }, (_, i) => `n${i}`));
  });

  it.each(PROGRAMS)('%s', async name => {
    await expectOk(name, cluster.run('-n', '4', '--timeout', '60', '--', path(name)));
  });
});

describe('while a node joins and one leaves', () => {
  // As many at a time as keep two cores busy and still let an agent start within the time the programs run.
  const AT_ONCE = 3;
  const batches = Array.from({ length: Math.ceil(PROGRAMS.length / AT_ONCE) }, (_, i) => ({
    names: PROGRAMS.slice(i * AT_ONCE, (i + 1) * AT_ONCE),
  }));

  it.each(batches)('$names', async ({ names }) => {
    await cluster?.stop();
    cluster = await Processes.start(['a', 'b']);
    const seconds = '60'; // rounds go on at most this long
    const over = join(dir, `over-${names[0]}`); // and no longer than this file is missing
    // Threads that move themselves without a break leave a node that joins little of two cores: two of them will do.
    const threads = (name: string) => (name === 'migrate' ? '2' : '4');
    const jobs = names.map(name =>
      cluster.run('-n', threads(name), '--timeout', '120', '--', path(name), seconds, over),
    );
    await until('all run', () => jobs.every(isRunning), 60);
    await pause(1000);
    await cluster.join('c');
    await pause(1000);
    expect(cluster.dmi('drain', 'a').stdout).toMatch(/^a drained in/);
    writeFileSync(over, '');
    await Promise.all(jobs.map((job, i) => expectOk(names[i] ?? '', job)));
    for (const job of jobs) {
      const log = job.log();
      expect(log).toContainEqual(expect.objectContaining({ event: 'member', node: 'c', state: 'active' }));
      expect(log).toContainEqual(expect.objectContaining({ event: 'member', node: 'a', state: 'gone' }));
    }
    expect(jobs.flatMap(job => job.log()).some(({ event }) => event === 'moved')).toBe(true);
  });
});
