import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { type Fault, Guests, type Host, have, Job, type Message, until } from './harness.js';

// Threads that begin where others ended, share memory by name, and are looked at while they run.

const guests = new Guests();
let job: Job;
afterEach(() => job.stop());
afterAll(() => guests.remove());

describe('a region that is used again', () => {
  it.each([
    ['static-pie', ['-static-pie']],
    ['dynamic', []],
  ])('holds nothing of the thread before: %s', async (_kind, flags) => {
    job = await Job.start(guests.build('afterwards.c', 'dmi', ...flags), { argv: ['plain', '12'] });
    const thread = await job.thread();
    expect((await job.exited(thread)).status).toBe(0);
    expect(job.output()).toBe('regions 1 bad 0\n');
    expect(job.host(1).warnings()).toEqual([]);
  });

  it.each(['protects', 'unmaps'])('is not used again when its thread %s what was there from the start', async kind => {
    job = await Job.start(guests.build('afterwards.c', 'dmi', '-static-pie'), { argv: [kind, '5'] });
    const thread = await job.thread();
    expect((await job.exited(thread)).status).toBe(0);
    expect(job.output()).toBe('regions 5 bad 0\n');
  });

  it('gives its addresses up when they are wanted', async () => {
    // Room for two regions: the main thread's, and one that its threads have used, one after the other.
    const size = 1 << 28;
    const zone: [number, number] = [0x10000000000, 0x10000000000 + 2 * size];
    const go = guests.file('go');
    const program = guests.build('afterwards.c', 'dmi', '-static-pie');
    job = await Job.start(program, { hosts: 2, argv: ['plain', '3', go], zone, threadMemory: size });
    const [one, two] = job.hosts as [Host, Host];
    const main = await job.thread(1, 0);
    while (!job.output(main)) await one.change(1000);
    const region = async (host: Host, thread: string) =>
      (await host.report()).threads.find(t => t.thread === thread)?.regions[0]?.[0];
    const taken = await region(one, main);
    // A thread from another host whose addresses are those.
    let guest = await job.thread(2, 1);
    if ((await region(two, guest)) === taken) guest = await job.thread(2, 1); // the other place, then
    expect(await job.move(guest, 2, 1)).toMatchObject({ ok: true });
    writeFileSync(go, '');
    expect((await job.exited(guest)).status).toBe(0);
    expect((await job.exited(main)).status).toBe(0);
    expect(job.output(main)).toBe('regions 1 bad 0\n');
  });

  it('gives its room up to a thread that begins', async () => {
    const size = 1 << 28;
    const zone: [number, number] = [0x10000000000, 0x10000000000 + 2 * size];
    const go = guests.file('go');
    const program = guests.build('afterwards.c', 'dmi', '-static-pie');
    job = await Job.start(program, { argv: ['plain', '3', go], zone, threadMemory: size });
    const main = await job.thread(1, 0);
    while (!job.output(main)) await job.host(1).change(1000);
    const second = await job.thread(1, 1);
    writeFileSync(go, '');
    expect((await job.exited(second)).status).toBe(0);
    expect((await job.exited(main)).status).toBe(0);
  });
});

describe('memory that a thread exports', () => {
  it('is loaded and stored by others of its host, stays while they have it, and pins both', async () => {
    const go = guests.file('go');
    job = await Job.start(guests.build('shares.c', 'dmi', '-D_GNU_SOURCE'), { hosts: 2, argv: [go] });
    const thread = await job.thread();
    const host = job.host(1);
    while (!job.output(thread).includes('ready\n')) await host.change(1000);
    expect(await job.move(thread, 1, 2)).toMatchObject({
      ok: false,
      code: 'pinned',
      reason: expect.stringContaining("exports memory as 'board'"),
    });
    writeFileSync(go, '');
    while (!job.output(thread).includes('free\n')) await host.change(1000);
    expect(await job.move(thread, 1, 2)).toMatchObject({ ok: true });
    writeFileSync(`${go}.end`, '');
    expect((await job.exited(thread)).status).toBe(0);
    expect(job.output(thread).split('\n')).toEqual([
      "EFAULT what is to be exported as 'board' is not in the thread's memory",
      'EINVAL a name for exported memory has 1 to 255 bytes',
      expect.stringMatching(/^EXDEV thread 1\.999 is not on this host: .*(DMI_migrate)/),
      `ENOENT thread ${thread} exports nothing named 'board' now`,
      "EEXIST the thread exports something named 'board' already",
      'written by another: 7777',
      `sum ${(99_999 * 100_000) / 2}, of the dead 55`,
      expect.stringMatching(/^EXDEV thread 1\.\d+ is not on this host/),
      'ready',
      "ENOENT the thread exports nothing named 'board'",
      'free',
      '',
    ]);
  });
});

interface Stack extends Message {
  query: string;
  stack: { thread: string; text: string | null; why: string | null };
}
let queries = 0;
async function stack(host: Host, thread: string): Promise<Stack['stack']> {
  const query = `s${++queries}`;
  host.send({ t: 'query', query, stack: thread });
  return (await host.next<Stack>('report', m => m.query === query)).stack;
}

describe('a thread that is looked at', () => {
  it.each([
    ['spin', 'running'],
    ['sleep', 'sleeping|running'],
    ['call', 'running'],
    ['raise', 'running'],
    ['handler', 'running'],
  ])('shows who called whom, and goes on, also after a move: %s', async (how, state) => {
    const go = guests.file('go');
    job = await Job.start(guests.build('where.c'), { hosts: 2, argv: [how, go] });
    const thread = await job.thread();
    await job.host(1).next('output'); // it may still be printing
    await until('it to be there', async () => (await stack(job.host(1), thread)).text?.includes(' inner+') ?? false);
    for (const at of [1, 2]) {
      for (let i = 0; i < 3; i++) {
        const { text, why } = await stack(job.host(at), thread);
        expect(why).toBe(null);
        expect(text).toMatch(new RegExp(`^thread ${thread} on n${at}, (${state}), is in\n`));
        const calls = (text ?? '').split('\n');
        const from = calls.findIndex(line => / inner\+0x[0-9a-f]+ \(where-c\)/.test(line));
        expect(from, text ?? '').toBeGreaterThan(0);
        expect(calls[from + 1]).toMatch(/ middle\+0x[0-9a-f]+ \(where-c\)/);
        expect(calls[from + 2]).toMatch(/ outer\+0x[0-9a-f]+ \(where-c\)/);
        if (have('addr2line')) expect(calls[from]).toMatch(/ at \S+where\.c:\d+$/);
      }
      if (at === 1) expect((await job.move(thread, 1, 2)).ok).toBe(true);
    }
    writeFileSync(go, '');
    expect((await job.exited(thread)).status).toBe(0);
  });

  it('says why when it cannot be: it is not here, or waits in a call that may block', async () => {
    const pipe = guests.file('pipe');
    execFileSync('mkfifo', [pipe]);
    job = await Job.start(guests.build('where.c'), { argv: ['fifo', pipe] });
    const thread = await job.thread();
    await job.host(1).next('output');
    while (!(await job.host(1).report()).threads.some(t => t.state === 'in a system call')) await sleep(5);
    expect(await stack(job.host(1), thread)).toEqual({
      thread,
      text: null,
      why: 'it is in a system call that may block',
    });
    expect((await stack(job.host(1), '1.77')).why).toMatch(/not on this host/);
    execFileSync('timeout', ['10', 'sh', '-c', `: > '${pipe}'`]);
    expect((await job.exited(thread)).status).toBe(0);
  });
});

describe('the mask of file modes', () => {
  it('is each thread’s own, and goes with it', async () => {
    const directory = guests.file('modes');
    const go = guests.file('go');
    mkdirSync(directory);
    job = await Job.start(guests.build('umask.c'), { hosts: 2, argv: [directory, go] });
    const [strict, open] = [await job.thread(1, 0, 2), await job.thread(1, 1, 2)];
    while (job.output() !== 'set\nset\n') await job.host(1).change(1000);
    expect(await job.move(strict, 1, 2)).toMatchObject({ ok: true });
    writeFileSync(go, '');
    for (const thread of [strict, open]) expect((await job.exited(thread)).status).toBe(0);
    expect(job.output(strict)).toBe('set\n600 700 700 700, mask 077\n');
    expect(job.output(open)).toBe('set\n666 777 777 777, mask 000\n');
  });
});

describe('memory that is mapped and has nothing behind it', () => {
  it.each([
    ['load', /^thread (\S+) on n1 died of SIGBUS at address 0x\w+, pc 0x\w+ in main/],
    ['write', /^thread (\S+) on n1 died of SIGBUS at address 0x\w+, which the host touched on its behalf/],
  ])('ends the job with one line, and not the host: %s', async (how, text) => {
    job = await Job.start(guests.build('shorter.c'), { argv: [guests.file(), how], workers: 1 });
    const host = job.host(1);
    const thread = await job.thread();
    while (host.all('fault').length === 0 && !host.exit) await host.change(1000);
    expect(host.exit).toBe(null);
    const [fault] = host.all<Fault>('fault');
    expect(fault).toMatchObject({ thread, signal: 'SIGBUS' });
    expect(fault?.text).toMatch(text);
    host.send({ t: 'stop', reason: 'the job has failed' });
    expect(await host.ended()).toEqual({ code: 0, signal: null });
  });
});
