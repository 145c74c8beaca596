import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { type Fault, Guests, have, Job } from './harness.js';

// Programs that die, and programs that ask for what they cannot have.

const guests = new Guests();
let job: Job;
afterEach(() => job.stop());
afterAll(() => guests.remove());

describe('a thread that dies', () => {
  it.each([
    ['null', 'SIGSEGV', '0x18', /^culprit\+0x\w+ \(/, /at address 0x18, pc 0x\w+ in culprit/],
    ['divide', 'SIGFPE', null, /^culprit/, /died of SIGFPE, pc/],
    ['abort', 'SIGABRT', null, null, /died of SIGABRT/],
    ['stack', 'SIGSEGV', null, /^overflow/, /its stack of \d+ KiB overflowed/],
    ['garbage', 'SIGSEGV', '0x123456789000', /^$/, /at address 0x123456789000/],
    ['data', 'SIGSEGV', null, /^$/, /died of SIGSEGV/],
    ['readonly', 'SIGSEGV', null, /^culprit/, /died of SIGSEGV/],
    ['trap', 'SIGILL', null, /^culprit/, /died of SIGILL/],
  ])(
    'of %s is reported once, with signal, address and symbol, by a host that goes on',
    async (kind, signal, address, symbol, text) => {
      job = await Job.start(guests.build('faults.c'), { argv: [kind] });
      const host = job.host(1);
      const thread = await job.thread();
      const fault = (await host.next('fault').catch(() => host.all('fault')[0])) as Fault;
      expect(fault).toMatchObject({ thread, signal });
      if (address) expect(fault.address).toBe(address);
      expect(fault.pc).toMatch(/^0x[0-9a-f]+$/);
      if (symbol) expect(fault.symbol).toMatch(symbol);
      expect(fault.text).toMatch(text);
      expect(fault.text).toContain(`thread ${thread} on n1`);
      expect(job.output(thread)).toBe('before');
      const calls = job.output(thread, 2).split('\n');
      expect(calls[0]).toBe(`thread ${thread} was in`);
      expect(calls[1]).toMatch(/^ {2}#0 0x[0-9a-f]+/);
      if (kind !== 'stack') {
        // Whatever was called last, culprit is among those that had called it, and main called that.
        const at = calls.findIndex(line => /^ {2}#\d+ 0x[0-9a-f]+ culprit\+0x[0-9a-f]+ \(faults-c\)/.test(line));
        expect(at).toBeGreaterThan(0);
        expect(calls[at + 1]).toMatch(/ main\+0x[0-9a-f]+ \(faults-c\)/);
        if (have('addr2line')) expect(calls[at]).toMatch(/ at \S+faults\.c:\d+$/);
      }
      host.send({ t: 'query', query: 'still there' });
      while (!host.all('report').length && !host.exit) await host.change(1000);
      expect(host.exit).toBe(null);
      expect(host.all('fault').length).toBe(1);
      host.send({ t: 'stop', reason: 'the job has failed' });
      expect(await host.ended()).toEqual({ code: 0, signal: null });
      expect(host.stderr).toBe('');
    },
  );

  it('of what it gave to a DMI call is told so; nothing of the host is read or written', async () => {
    job = await Job.start(guests.build('given.c', 'dmi'));
    const host = job.host(1);
    const thread = await job.thread();
    while (host.all('fault').length === 0 && !host.exit) await host.change(1000);
    expect(job.output(thread)).toBe('000\n'.repeat(6));
    expect(host.all<Fault>('fault')[0]?.text).toMatch(
      /^thread \S+ on n1 died of SIGSEGV at address 0x\w+, which it gave to a DMI call, pc 0x\w+$/,
    );
    const calls = job.output(thread, 2).split('\n');
    const at = calls.findIndex(line => / culprit\+0x[0-9a-f]+ \(given-c-dmi\)/.test(line));
    expect(at, calls.join('\n')).toBeGreaterThan(0);
    expect(calls[at + 1]).toMatch(/ DMI_main\+0x[0-9a-f]+ /);
  });

  it('does not disturb another that computes beside it', async () => {
    job = await Job.start(guests.build('faults.c'), { argv: ['null'], workers: 1 });
    const host = job.host(1);
    for (let i = 0; i < 3; i++) host.send({ t: 'start', role: 'main', rank: i, count: 3, threads: 3 });
    while (host.all('fault').length < 3 && !host.exit) await host.change(1000);
    await sleep(10);
    expect(host.exit).toBe(null);
    expect(new Set(host.all<Fault>('fault').map(f => f.thread)).size).toBe(3);
  });
});

describe('a call that a hosted thread cannot make', () => {
  it('gives an error and one line in the log per kind, whoever makes it how often', async () => {
    job = await Job.start(guests.build('refused.c'), {});
    for (let i = 0; i < 2; i++) {
      const thread = await job.thread(1, i, 2);
      expect((await job.exited(thread)).status).toBe(0);
      expect(job.output(thread).split('\n')).toEqual([
        ...Array.from({ length: 3 }, () => ['fork -1 ENOSYS', 'exec -1 ENOSYS']).flat(),
        'pthread_create ENOSYS',
        'write -1 EFAULT',
        'write-null -1 EFAULT',
        'writev -1 EFAULT',
        'writev-list -1 EFAULT',
        'nanosleep -1 EFAULT',
        'fstat -1 EFAULT',
        'open -1 EFAULT',
        'getcwd -1 EFAULT',
        'affinity -1 EFAULT',
        'map-host -1 ENOMEM',
        'unmap-host -1 EINVAL',
        'too-much -1 ENOMEM',
        'unknown -1 ENOSYS',
        '',
      ]);
    }
    const warnings = job.host(1).warnings();
    for (const call of [
      /system call clone refused.*fork/,
      /system call clone3 refused/,
      /system call execve refused/,
      /system call 499 refused/,
    ])
      expect(warnings.filter(line => call.test(line)).length, `${call}`).toBe(1);
    expect(warnings.length).toBe(4);
  });
});

describe('the policy of system calls', () => {
  it('holds for every class of the table', async () => {
    job = await Job.start(guests.build('policy.c'), { argv: [guests.dir] });
    const thread = await job.thread();
    expect((await job.exited(thread)).status).toBe(0);
    expect(job.output(thread).split('\n')).toEqual([
      'address space ok',
      'descriptors ok',
      'paths ok',
      'kernel objects ok',
      'identity ok',
      'time ok',
      'signals ok',
      'refused ok',
      '',
    ]);
    for (const call of ['clone', 'execve', 'wait4', 'ptrace', 'shmget', 'setitimer', 'epoll_ctl', '511'])
      expect(job.host(1).warnings()).toContainEqual(expect.stringContaining(`system call ${call} refused (ENOSYS)`));
  });
});

describe('a call that waits', () => {
  it('for the other end of a named pipe leaves its worker to others', async () => {
    const pipe = guests.file('pipe');
    execFileSync('mkfifo', [pipe]);
    job = await Job.start(guests.build('fifo.c'), { argv: [pipe], workers: 1 });
    const reader = await job.thread(1, 0, 2);
    const writer = await job.thread(1, 1, 2);
    expect((await job.exited(reader)).status).toBe(0);
    expect((await job.exited(writer)).status).toBe(0);
    expect(job.output(reader)).toBe('read 7 through\n');
    expect(job.output(writer)).toBe('wrote 7 through\n');
  });
});
