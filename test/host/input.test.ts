import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { Guests, Job, type JobOptions, type Message, until } from './harness.js';

// What a thread reads as its standard input. The test is what answers, and may lose, delay or repeat answers.

const guests = new Guests();
let job: Job;
afterEach(() => job.stop());
afterAll(() => guests.remove());

interface Wanted extends Message {
  thread: string;
  offset: number;
}
const wanted = (member: number) => job.host(member).all<Wanted>('input-wanted');

/** A first thread that reads, on two hosts. */
async function reads(how: string, options: JobOptions & { rank?: number; count?: number } = {}): Promise<string> {
  job = await Job.start(guests.build('input.c'), { hosts: 2, input: true, argv: [how], ...options });
  return await job.thread(1, options.rank ?? 0, options.count ?? 1);
}
/** Until it asks for what comes at `offset`, on that host, for the `times`-th time. */
async function asked(member: number, offset: number, times = 1): Promise<void> {
  const so = () => wanted(member).filter(m => m.offset === offset).length >= times;
  await until(`request ${times} for ${offset}`, so);
}
function give(member: number, thread: string, offset: number, data: string | Buffer, end = false): void {
  job.host(member).send({ t: 'input', thread, offset, data: Buffer.from(data), end });
}
const fnv = (data: Buffer): string => {
  let hash = 0xcbf29ce484222325n;
  for (const byte of data) hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & 0xffff_ffff_ffff_ffffn;
  return hash.toString(16).padStart(16, '0');
};

describe('a thread that reads its input', () => {
  it.each(['read', 'readv', 'poll', 'timed', 'select', 'nonblocking', 'dup', 'dev'])(
    'gets each line as it comes, and moves while it waits for the next: %s',
    async how => {
      const thread = await reads(how);
      let at = 1;
      let offset = 0;
      for (const line of ['a line', 'another', '']) {
        await asked(at, offset);
        const waiting = (await job.host(at).report()).threads[0];
        expect(waiting).toMatchObject({ pinned: null });
        if (how === 'read') expect(waiting?.state).toBe('waiting for input');
        expect(await job.move(thread, at, 3 - at)).toMatchObject({ ok: true });
        at = 3 - at;
        await asked(at, offset);
        give(at, thread, offset, `${line}\n`);
        offset += line.length + 1;
        await until('the line to be repeated', () => job.output(thread).split('\n').includes(`got ${line}`));
      }
      await asked(at, offset);
      give(at, thread, offset, 'unfinished', true);
      expect(await job.exited(thread)).toMatchObject({ status: 0 });
      await until('its last words', () => job.output(thread).includes(`end after ${offset + 10}`));
      expect(job.hosts.flatMap(host => host.warnings())).toEqual([]);
    },
  );

  it('takes its place in the stream, and what it has not read yet, along: megabytes over many moves, each answer twice', async () => {
    const whole = Buffer.from(Array.from({ length: 3 << 20 }, (_, i) => (i * 7 + (i >> 9)) % 256));
    const thread = await reads('sum');
    const seen = new Map<number, number>();
    const answer = setInterval(() => {
      for (const { member } of job.hosts) {
        const requests = wanted(member);
        for (const { offset } of requests.slice(seen.get(member) ?? 0)) {
          const data = whole.subarray(offset, offset + 40_000);
          for (const to of [member, 3 - member, member])
            give(to, thread, offset, data, offset + 40_000 >= whole.length);
        }
        seen.set(member, requests.length);
      }
    }, 1);
    const end = await job.bounce(thread, { gap: 2 }).finally(() => clearInterval(answer));
    expect(end).toMatchObject({ status: 0, failures: [] });
    expect(end.moves).toBeGreaterThan(5);
    expect(job.output(thread)).toBe(`${whole.length} ${fnv(whole)}\n`);
  });

  it('finds a pipe', async () => {
    const thread = await reads('pipe');
    await until('an empty one', () => job.output(thread) === 'empty\n');
    give(1, thread, 0, 'hello');
    await until('a full one', () => job.output(thread) === 'empty\nfull\n');
    give(1, thread, 5, '', true);
    await job.exited(thread);
    await until('a closed one', () => job.output(thread) === 'empty\nfull\nclosed\n');
  });

  it('asks again when nobody answers', async () => {
    const thread = await reads('read');
    await asked(1, 0, 2);
    give(1, thread, 0, 'x', true);
    expect(await job.exited(thread)).toMatchObject({ status: 0 });
  });

  it('takes nothing but what comes next', async () => {
    const thread = await reads('read');
    await asked(1, 0);
    give(1, thread, 1, 'from further on');
    give(1, '1.77', 0, 'for somebody else');
    give(1, 'x', 0, 'for nobody');
    give(1, thread, 0, '');
    job.host(1).send({ t: 'input', thread, offset: 0, data: 'no bytes', end: false });
    job.host(1).send({ t: 'input', thread, offset: 'here', data: Buffer.from('x'), end: false });
    job.host(1).send({ t: 'input' });
    give(1, thread, 0, 'right\n');
    give(1, thread, 0, 'wrong\n');
    await asked(1, 6);
    give(1, thread, 6, '', true);
    await job.exited(thread);
    await until('all of it', () => job.output(thread) === 'got right\nend after 6\n');
  });

  it.each([
    ['is not the first', { rank: 1, count: 2 }],
    ['belongs to a job that nobody gives input', { input: false }],
  ])('is at its end at once when it %s', async (_what, options) => {
    const thread = await reads('read', options);
    expect(await job.exited(thread)).toMatchObject({ status: 0 });
    await until('its end', () => job.output(thread) === 'end after 0\n');
    expect(wanted(1)).toEqual([]);
  });

  it('may be looked at, and end with its host, while it waits', async () => {
    const thread = await reads('read');
    await asked(1, 0);
    job.host(1).send({ t: 'query', query: 'stack', stack: thread });
    const { stack } = await job.host(1).next('report', m => m.query === 'stack');
    expect((stack as { text: string }).text).toMatch(/waiting for input, is in\n[\s\S]*(read|next|main)/);
    await asked(1, 0, 2); // it goes on waiting
  });

  it.skipIf(!existsSync('/usr/lib/x86_64-linux-gnu/libpython3.11.so.1.0'))('may be python', async () => {
    const program = guests.build('python.c', '-DLIBRARY="/usr/lib/x86_64-linux-gnu/libpython3.11.so.1.0"');
    const script = 'import sys; print(sum(int(line) for line in sys.stdin)); print(sys.stdin.isatty())';
    const text = Array.from({ length: 5000 }, (_, i) => `${i}\n`).join('');
    job = await Job.start(program, { hosts: 2, input: true, argv: ['-S', '-c', script] });
    const thread = await job.thread();
    let at = 1;
    for (let offset = 0; offset < text.length; offset += 7000) {
      await asked(at, offset);
      expect(await job.move(thread, at, 3 - at)).toMatchObject({ ok: true });
      at = 3 - at;
      give(at, thread, offset, text.slice(offset, offset + 7000), offset + 7000 >= text.length);
    }
    expect(await job.exited(thread)).toMatchObject({ status: 0 });
    const expected = execFileSync(program, ['-S', '-c', script], { input: text, encoding: 'utf8' });
    await until('its result', () => job.output(thread) === expected);
  });
});
