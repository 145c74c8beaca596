import { spawnSync } from 'node:child_process';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { type Fault, Guests, Job } from './harness.js';

// Signals that a thread sends itself, and faults of its own: the same programs run on the kernel itself beside it.

const guests = new Guests();
let job: Job | undefined;
afterEach(() => job?.stop());
afterAll(() => guests.remove());

/** Lines, whichever host they were printed on. */
const sorted = (text: string): string[] => text.split('\n').sort();
const kinds: [string, string[]][] = [
  ['dynamic', []],
  ['static-pie', ['-static-pie']],
];

describe('signals of a thread', () => {
  it.each(kinds)(
    'do what they do without DMI, wherever it is moved meanwhile, also in a handler: %s',
    async (_kind, flags) => {
      const program = guests.build('signals.c', ...flags);
      const alone = spawnSync(program, ['20', '/'], { encoding: 'utf8' });
      expect(alone.stdout).not.toContain('not');
      expect(alone.status).toBe(11);
      const go = guests.file('go');
      job = await Job.start(program, { hosts: 2, argv: ['20', go] });
      const thread = await job.thread();
      const end = await job.bounce(thread, { gap: 1, go });
      expect(sorted(job.output(thread))).toEqual(sorted(alone.stdout));
      expect([...end.failures.map(m => m.reason), ...job.hosts.flatMap(h => h.warnings())]).toEqual([]);
      expect(end.status).toBe(11);
      expect(end.moves).toBeGreaterThan(2);
    },
  );

  it.each([
    ['blocked', 'SIGSEGV', /died of SIGSEGV at address 0x18, pc 0x\w+ in dies/],
    ['ignored', 'SIGSEGV', /died of SIGSEGV at address 0x18, pc 0x\w+ in dies/],
    ['overflow', 'SIGSEGV', /: its stack of \d+ KiB overflowed, pc 0x\w+ in overflow/],
    ['unblocked', 'SIGTERM', /died of SIGTERM, pc/],
    ['twice', 'SIGUSR1', /died of SIGUSR1, pc/],
    ['handled', 'SIGABRT', /died of SIGABRT/],
    ['frame', 'SIGSEGV', /died of SIGSEGV/],
    ['stack', 'SIGSEGV', /died of SIGSEGV/],
  ] as const)('end it where they do without DMI, and the report says where: %s', async (how, signal, text) => {
    const program = guests.build('signals.c');
    const alone = spawnSync(program, [how], { encoding: 'utf8' });
    expect(alone.signal).toBe(signal);
    job = await Job.start(program, { argv: [how] });
    const host = job.host(1);
    const thread = await job.thread();
    while (!host.all('fault').length && !host.exit) await host.change(1000);
    expect(host.all<Fault>('fault').map(f => [f.thread, f.signal])).toEqual([[thread, signal]]);
    expect(host.all<Fault>('fault')[0]?.text).toMatch(text);
    expect(job.output(thread)).toBe(alone.stdout);
    // Who called whom, from the handler back to what it interrupted.
    const calls = job.output(thread, 2);
    if (how === 'handled') expect(calls).toMatch(/ give_up\+0x.* dies\+0x.* main\+0x/s);
    host.send({ t: 'query', query: 'still there' });
    while (!host.all('report').length && !host.exit) await host.change(1000);
    expect(host.exit).toBe(null);
  });
});
