import { copyFileSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { Guests, Host, Job, lines, mappings, status, until } from './harness.js';

// Files that are no programs, many programs at once, and messages that make no sense.

const guests = new Guests();
let job: Job | undefined;
let alone: Host | undefined;
afterEach(async () => {
  await job?.stop();
  job = undefined;
  alone?.child.kill('SIGKILL');
  await alone?.ended();
  alone = undefined;
});
afterAll(() => guests.remove());

/** What the host says about a program before it ends. */
async function refusal(program: string): Promise<string> {
  job = new Job(program);
  const host = job.add();
  expect(await host.ended()).toEqual({ code: 1, signal: null });
  expect(host.all('hello')).toEqual([]);
  const failed = host.all('failed');
  expect(failed.length).toBe(1);
  expect(host.stderr).toBe('');
  return failed[0]?.reason as string;
}
/** A copy of a program with some bytes changed. */
function patched(change: (bytes: Buffer) => void): string {
  const bytes = readFileSync(guests.build('short.c', '-static-pie'));
  change(bytes);
  const path = guests.file('patched');
  writeFileSync(path, bytes, { mode: 0o755 });
  return path;
}

describe('a program that cannot be run', () => {
  it.each<[string, () => string, RegExp]>([
    ['is not there', () => guests.file('nothing'), /No such file/],
    ['is a directory', () => guests.dir, /not a regular file/],
    ['is a script', () => patched(b => b.write('#!/bin/sh\n')), /not an ELF file.*dmicc/],
    [
      'is empty',
      () => {
        const p = guests.file('empty');
        writeFileSync(p, '');
        return p;
      },
      /not an ELF file/,
    ],
    ['is for another machine', () => patched(b => b.writeUInt16LE(183, 18)), /another machine \(ELF machine 183\)/],
    ['is 32-bit', () => patched(b => b.writeUInt8(1, 4)), /another machine/],
    [
      'is not position independent',
      () => guests.build('short.c', '-static', '-no-pie'),
      /not position independent.*dmicc/,
    ],
    ['is an object file', () => guests.build('short.c', '-c'), /not an executable/],
    ['has absurdly many headers', () => patched(b => b.writeUInt16LE(0xffff, 56)), /corrupt: 65535 program headers/],
    ['has headers of a wrong size', () => patched(b => b.writeUInt16LE(17, 54)), /corrupt/],
    ['has its headers far outside', () => patched(b => b.writeBigUInt64LE(0x7fffffffffffff00n, 32)), /truncated/],
    [
      'has headers at the end of all numbers',
      () => patched(b => b.writeBigUInt64LE(0xffffffffffffff00n, 32)),
      /truncated/,
    ],
    ['starts nowhere', () => patched(b => b.writeBigUInt64LE(0xffffffff00000000n, 24)), /entry point/],
    [
      'has no segments',
      () =>
        patched(b => {
          for (let i = 0; i < b.readUInt16LE(56); i++) b.writeUInt32LE(0, 64 + 56 * i);
        }),
      /nothing to load/,
    ],
    ['has a segment of absurd size', () => patched(b => b.writeBigUInt64LE(0xffffffffffffffffn, 64 + 40)), /corrupt/],
    ['has a segment in the sky', () => patched(b => b.writeBigUInt64LE(0x7fffffffff000000n, 64 + 16)), /corrupt/],
  ])('because it %s is named in one sentence', async (_what, make, words) => {
    const program = make();
    const reason = await refusal(program);
    expect(reason).toMatch(words);
    expect(reason).toContain(program);
    expect(reason).not.toContain('\n');
  });

  it('because it was cut short somewhere is named in one sentence', async () => {
    const whole = guests.build('short.c', '-static-pie');
    const size = readFileSync(whole).length;
    for (const length of [3, 10, 63, 100, 500, 4096, 8192, Math.floor(size / 3)]) {
      const program = guests.file('cut');
      copyFileSync(whole, program);
      truncateSync(program, length);
      const reason = await refusal(program);
      expect(reason, `cut to ${length} bytes`).toMatch(/truncated|not an ELF file/);
      expect(reason).toContain(program);
    }
  });
});

describe('many threads', () => {
  it('five thousand live in one host; where the kernel allows no more mappings, the limit is named', async () => {
    job = await Job.start(guests.build('stays.c', '-static-pie'), { threadMemory: 1 << 24 });
    const host = job.host(1);
    const start = (count: number) => {
      for (let i = 0; i < count; i++) host.send({ t: 'start', role: 'main', rank: 0, count: 1, threads: 1 });
    };
    start(5000);
    await until('all to run', () => host.all('output').length >= 5000 || host.exit !== null);
    const report = await host.report();
    expect(report.threads.length).toBe(5000);
    expect(new Set(report.threads.map(t => t.regions[0]?.[0])).size).toBe(5000);
    const limit = Number(readFileSync('/proc/sys/vm/max_map_count', 'utf8'));
    if (limit > 65_530) return; // enough for many more
    start(3000);
    while (!host.exit) await host.change(60_000);
    expect(host.all('failed').map(m => m.reason)).toEqual([expect.stringMatching(/vm\.max_map_count/)]);
  });

  it('thousands, one after the other, leave nothing behind', async () => {
    job = await Job.start(guests.build('short.c', '-static-pie'), { threadMemory: 1 << 24 });
    const host = job.host(1);
    const run = async (count: number) => {
      const goal = host.all('exited').length + count;
      for (let started = 0; started < count; ) {
        const batch = Math.min(50, count - started);
        for (let i = 0; i < batch; i++) host.send({ t: 'start', role: 'main', rank: 0, count: 1, threads: 1 });
        started += batch;
        while (host.all('exited').length < goal - count + started && !host.exit) await host.change(60_000);
      }
      expect(host.exit).toBe(null);
      expect(host.all('exited').every(m => m.status === 3)).toBe(true);
      host.log.length = 0;
      await until('the last to be gone', async () => (await host.report()).threads.length === 0);
    };
    await run(500);
    const before = { maps: mappings(host.pid), rss: status(host.pid, 'VmRSS'), size: status(host.pid, 'VmSize') };
    await run(5000);
    expect(mappings(host.pid)).toBeLessThanOrEqual(before.maps + 10);
    expect(status(host.pid, 'VmRSS')).toBeLessThan(before.rss + 4096);
    expect(status(host.pid, 'VmSize')).toBeLessThan(before.size + 65536);
  });

  it('that compute without a break take turns', async () => {
    const log = guests.file('turns');
    job = await Job.start(guests.build('turns.c'), { argv: [log, '12'], threadMemory: 1 << 24 });
    const threads = await Promise.all(Array.from({ length: 16 }, async () => ''));
    for (let i = 0; i < 16; i++) threads[i] = await job.thread(1, i, 16);
    for (const t of threads) expect((await job.exited(t as string)).status).toBe(0);
    // When the first has finished, every other one has got somewhere.
    const order = lines(log).map(line => line.split(' ').map(Number) as [number, number]);
    expect(order.length).toBe(16 * 12);
    const first = order.findIndex(([, chunk]) => chunk === 11);
    expect(new Set(order.slice(0, first).map(([rank]) => rank)).size).toBe(16);
  });

  it.each([
    ['flock', []],
    ['fcntl', ['ranges']],
  ])('that wait for each other with %s on one worker exclude each other and go on', async (_kind, extra) => {
    const file = guests.file('counter');
    writeFileSync(file, Buffer.alloc(4));
    job = await Job.start(guests.build('locks.c'), { argv: [file, '20', ...extra], workers: 1, threadMemory: 1 << 24 });
    const threads: string[] = [];
    for (let i = 0; i < 4; i++) threads.push(await job.thread(1, i, 4));
    for (const t of threads) expect((await job.exited(t)).status).toBe(0);
    expect(readFileSync(file).readInt32LE(0)).toBe(80);
  });
});

describe('a message that makes no sense', () => {
  it('is skipped with a line in the log, and the host goes on', async () => {
    job = await Job.start(guests.build('short.c'));
    const host = job.host(1);
    const nested = Buffer.alloc(1 << 20, 0x91);
    const frames: Buffer[] = [
      Buffer.alloc(0),
      Buffer.from([0xc1]),
      Buffer.from([0x80]),
      Buffer.from([0xdf, 0xff, 0xff, 0xff, 0xff]),
      Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff, 1]),
      Buffer.from([0xc6, 0xff, 0xff, 0xff, 0xff, 1]),
      nested,
      Buffer.concat([Buffer.from([0x81, 0xa1, 0x74]), nested]),
    ];
    for (const body of frames) host.frame(body.length, body);
    host.send({ t: 'no such message' });
    host.send({ t: 'move' });
    host.send({ t: 'move', move: 7, thread: {}, to: 'there' });
    host.send({ t: 'job' });
    host.send({ t: 'query', query: [1, { a: null }] });
    const thread = await job.thread();
    expect((await job.exited(thread)).status).toBe(3);
    const warnings = host.warnings();
    expect(warnings.filter(w => w.includes('malformed')).length).toBe(frames.length);
    expect(warnings).toContain("unknown control message 'no such message' skipped");
    expect(warnings.filter(w => w.includes("control message 'move'")).length).toBe(2);
    expect(warnings.filter(w => w.includes('has its job already')).length).toBe(1);
  });

  it('before the job is skipped too', async () => {
    alone = new Host(1);
    for (const t of ['view', 'start', 'move', 'drain', 'query']) alone.send({ t });
    while (alone.warnings().length < 5 && !alone.exit) await alone.change(60_000);
    expect(alone.warnings().every(w => w.includes('before the job'))).toBe(true);
    alone.send({ t: 'stop', reason: 'enough' });
    expect(await alone.ended()).toEqual({ code: 0, signal: null });
  });

  it('of an absurd length ends the host with a clear line', async () => {
    alone = new Host(1);
    alone.frame(0xfffffff0, Buffer.from('x'));
    expect(await alone.ended()).toEqual({ code: 1, signal: null });
    expect(alone.stderr).toMatch(/^dmi-host: .*4294967280 bytes; the limit is 16 MiB\n$/);
  });

  it('that breaks off ends the host, which has lost its agent', async () => {
    alone = new Host(1);
    alone.frame(100, Buffer.from('half of'));
    (alone.child.stdio[3] as import('node:net').Socket).end();
    expect((await alone.ended()).signal).toBe(null);
  });
});
