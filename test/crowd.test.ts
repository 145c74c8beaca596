import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { guestPrograms } from './cluster/guests.js';
import { Processes, until } from './cluster/processes.js';

// Plenty of threads in one host, with real processes. DMI_SHORT_THREADS=100000 makes the whole experiment of short ones, of a minute.
const SHORT = Number(process.env.DMI_SHORT_THREADS ?? 5_000);

const guests = guestPrograms();
let cluster: Processes;
afterEach(() => cluster?.stop());

const mappings = (pid: number): number => readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n').length;
const kibibytes = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);

describe('a crowd', () => {
  it('of short threads, one after the other, leaves no trace', async () => {
    cluster = await Processes.start(['a']);
    const go = join(guests.dir, 'crowd-go');
    const job = cluster.run('-n', '1', guests.build('crowd', '-static-pie'), 'one-by-one', `${SHORT}`, go);
    await until('a tenth', () => job.stdout.includes(`${SHORT / 10} threads`), 60);
    const [host] = cluster.hosts();
    const early = { mappings: mappings(host as number), rss: kibibytes(host as number) };
    writeFileSync(`${go}.1`, '');
    await until('all', () => job.stdout.includes(`\n${SHORT} threads`), Math.max(120, SHORT / 500));
    expect(mappings(host as number)).toBeLessThanOrEqual(early.mappings + 20);
    expect(kibibytes(host as number)).toBeLessThan(early.rss + 2048);
    writeFileSync(`${go}.2`, '');
    expect((await job.ended).status).toBe(0);
  });

  it.skipIf(Number(readFileSync('/proc/sys/vm/max_map_count', 'utf8')) > 70_000)(
    'of dynamic threads ends where vm.max_map_count does, and the error says so',
    () => {
      cluster = Processes.none();
      const end = cluster.dmi('run', '--local', '1', '-n', '1', guests.build('crowd'), 'at-once', '3000');
      expect(end.stdout).toMatch(
        /^no more: node \S+ cannot start another thread: its \d+ threads take \d+ of the \d+ mappings that the kernel allows a process; raise it .*vm\.max_map_count/,
      );
      expect(Number(/(\d+) threads were alive/.exec(end.stdout)?.[1])).toBeGreaterThan(500);
      expect(end.stderr).toBe('');
      expect(end.status).toBe(0);
    },
  );
});
