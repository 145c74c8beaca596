import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { guestPrograms } from './cluster/guests.js';
import { Processes, running, until } from './cluster/processes.js';

// `dmi run` with the real host and real programs.

const guests = guestPrograms();
let cluster: Processes;
afterEach(() => cluster?.stop());

/** Lines by the rank they begin with, in the order they came. */
function byRank(text: string, pattern: RegExp): Map<string, string[]> {
  const ranks = new Map<string, string[]>();
  for (const line of text.split('\n').filter(one => one !== '')) {
    const match = pattern.exec(line);
    if (!match?.[1] || !match[2]) throw new Error(`a broken line: ${JSON.stringify(line)}`);
    ranks.set(match[1], [...(ranks.get(match[1]) ?? []), match[2]]);
  }
  return ranks;
}

describe('dmi run', () => {
  it.each([
    ['dynamic', []],
    ['static', ['-static-pie']],
  ])('starts a %s program N times, keeps stdout and stderr apart, mirrors its status', (_kind, flags) => {
    cluster = Processes.none();
    const { stdout, stderr, status } = cluster.dmi(
      'run',
      '--local',
      '3',
      '-n',
      '7',
      '--',
      guests.build('steps', ...flags),
      '4',
      '0',
      '42',
    );
    const ranks = byRank(stdout, /^rank (\d) of 7 step (\d)$/);
    expect([...ranks.keys()].sort()).toEqual(['0', '1', '2', '3', '4', '5', '6']);
    for (const steps of ranks.values()) expect(steps).toEqual(['0', '1', '2', '3']);
    expect(stderr.trim().split('\n').sort()).toEqual([0, 1, 2, 3, 4, 5, 6].map(rank => `rank ${rank} is done`));
    expect(status).toBe(42);
    expect(cluster.hosts()).toEqual([]);
  });

  it('starts a program with DMI_main once, and it creates its threads itself', () => {
    cluster = Processes.none();
    const { stdout, status } = cluster.dmi(
      'run',
      '--local',
      '2',
      '-n',
      '4',
      '--',
      guests.build('examples/hello/hello'),
    );
    expect(stdout).toContain('sum of squares: 14');
    expect(stdout.match(/hello from \d/g)).toHaveLength(4);
    expect(status).toBe(0);
  });

  it('never mixes lines, and keeps each thread’s in order, however much they print', () => {
    cluster = Processes.none();
    const { stdout, stderr, status } = cluster.dmi(
      'run',
      '--local',
      '2',
      '-n',
      '4',
      '--',
      guests.build('noisy'),
      '4000',
    );
    const lines = byRank(stdout, /^(\d) (\d+) ([a-d])\3{99}$/);
    for (const rank of ['0', '1', '2', '3'])
      expect(lines.get(rank)).toEqual(Array.from({ length: 4000 }, (_, i) => String(i)));
    const errors = byRank(stderr, /^(\d) (\d+) err$/);
    for (const rank of ['0', '1', '2', '3']) expect(errors.get(rank)).toHaveLength(400);
    expect(status).toBe(0);
  });

  it('shows where a live thread is in its program, from anywhere', async () => {
    cluster = await Processes.start(['a', 'b']);
    const go = join(guests.dir, 'stack-go');
    const job = cluster.run('-n', '2', guests.build('steps', '-g'), go, '50');
    await until('both run', () => job.stdout.includes('rank 0') && job.stdout.includes('rank 1'));
    for (const { thread, node } of cluster.json<{ thread: string; node: string }[]>('ps')) {
      const { stdout, stderr, status } = cluster.dmi('stack', thread);
      expect(status, stderr).toBe(0);
      expect(stdout).toMatch(
        new RegExp(`^thread ${thread.replace('.', '\\.')} on ${node}, (sleeping|running), is in\n`),
      );
      expect(stdout).toMatch(/^ {2}#\d+ 0x[0-9a-f]+ main\+0x[0-9a-f]+ \(/m);
    }
    const nobody = cluster.dmi('stack', '7.7');
    expect(nobody).toMatchObject({ status: 2, stdout: '' });
    expect(nobody.stderr).toContain('7.7');
    writeFileSync(go, '');
    expect((await job.ended).status).toBe(0);
  });

  it('names thread, signal, address and symbol when a guest crashes; the other job and the agents go on', async () => {
    cluster = await Processes.start(['a', 'b']);
    const other = cluster.run('-n', '2', guests.build('steps'), '20', '150');
    await until('the other job runs', () => other.stdout.includes('step 1'));
    const { stderr, status } = await cluster.run('-n', '2', guests.build('crash'), '200').ended;
    expect(stderr).toMatch(/^dmi: job \w+ failed: .*thread 1\.1.*SIGSEGV.*0x10.*boom/m);
    expect(status).toBe(1);
    expect(cluster.json<{ name: string }[]>('nodes').map(({ name }) => name)).toEqual(['a', 'b']);
    expect((await other.ended).status).toBe(0);
    expect(cluster.hosts()).toEqual([]);
  });

  it('fails with the reason when a host is killed, and stops the job everywhere', async () => {
    cluster = await Processes.start(['a', 'b']);
    const job = cluster.run('-n', '2', guests.build('steps'), '100', '200');
    await until('the job runs', () => job.stdout.includes('step 1'));
    const [host] = cluster.hosts();
    process.kill(host as number, 'SIGKILL');
    const { stderr, status } = await job.ended;
    expect(stderr).toMatch(
      /^dmi: job \w+ failed: the host of job \w+ on node [ab] ended unexpectedly: killed by SIGKILL/m,
    );
    expect(status).toBe(1);
    expect(cluster.hosts()).toEqual([]);
  });

  it('cancels the job at Ctrl-C; no process is left', async () => {
    cluster = await Processes.start(['a', 'b']);
    const job = cluster.run('-n', '4', guests.build('steps'), '1000', '100');
    await until('the job runs', () => job.stdout.includes('step 1'));
    const hosts = cluster.hosts();
    expect(hosts).toHaveLength(2);
    job.child.kill('SIGINT');
    expect((await job.ended).status).toBe(130);
    expect(hosts.filter(running)).toEqual([]);
    expect(cluster.json<{ state: string }[]>('jobs')).toMatchObject([{ state: 'cancelled' }]);
  });

  it('lets a program that forks go on with ENOSYS', () => {
    cluster = Processes.none();
    const { stdout, status } = cluster.dmi('run', '--local', '1', guests.build('forks'));
    expect(stdout).toBe('fork: -1 Function not implemented\n');
    expect(status).toBe(0);
  });

  it('says so when the job needs more memory than all nodes offer', () => {
    cluster = Processes.none();
    const { stdout, status } = cluster.dmi(
      'run',
      '--local',
      '2',
      '--memory',
      '64M',
      '--',
      guests.build('hungry'),
      '16',
    );
    expect(stdout).toMatch(/^mapped \d+ MiB, then: .*/);
    expect(Number(/mapped (\d+)/.exec(stdout)?.[1])).toBeLessThanOrEqual(128);
    expect(status).toBe(0);
  });

  it('refuses at once when there are no agents', async () => {
    cluster = await Processes.start([]);
    const { stderr, status } = cluster.dmi('run', guests.build('steps'));
    expect(stderr).toMatch(/^dmi: the cluster has no nodes to run on\n/);
    expect(status).toBe(3);
  });
});
