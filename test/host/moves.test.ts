import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { Guests, Job, lines, type Moved, status, until } from './harness.js';

// Moves that wait, fail or collide. Whatever happens, a thread exists exactly once: it notes every step in a file, where a step
// taken twice or never shows.

const guests = new Guests();
let job: Job;
afterEach(() => job.stop());
afterAll(() => guests.remove());

const steps = (count: number, rank = 0): string[] => Array.from({ length: count }, (_, i) => `${rank} ${i}`);

/** A thread that takes `count` steps with pauses, on hosts of its own. */
async function stepping(count: number, microseconds: number, mib = 0, options: Parameters<typeof Job.start>[1] = {}) {
  const log = guests.file('log');
  job = await Job.start(guests.build('steps.c'), {
    hosts: 2,
    argv: [log, `${count}`, `${microseconds}`, `${mib}`],
    threadMemory: 1 << 29,
    ...options,
  });
  const thread = await job.thread();
  await until('the first step', () => lines(log).length > 0);
  return { log, thread };
}
/** It ends as if nothing had happened. */
async function endsRight(thread: string, log: string, count: number): Promise<void> {
  expect((await job.exited(thread)).status).toBe(7);
  expect(lines(log)).toEqual(steps(count));
}

describe('a thread that waits', () => {
  it('is moved asleep, there and back without a pause, and wakes up on time', async () => {
    const { log, thread } = await stepping(200, 2000);
    const end = await job.bounce(thread);
    expect(end.failures.map(m => m.reason)).toEqual([]);
    expect(end.moves).toBeGreaterThan(4);
    await endsRight(thread, log, 200);
  });

  it('is moved in the middle of computing, there and back without a pause', async () => {
    const { log, thread } = await stepping(30, 0, 4);
    const end = await job.bounce(thread);
    expect(end.failures.map(m => m.reason)).toEqual([]);
    await endsRight(thread, log, 30);
  });
});

describe('a move that cannot be', () => {
  it.each([
    [9, 1, 'unreachable', 'node 9'],
    [1, 1, 'refused', 'already on node 1'],
  ])('to member %i is answered so and leaves the thread alone', async (to, from, code, words) => {
    const { log, thread } = await stepping(20, 10_000);
    const moved = await job.move(thread, from, to);
    expect(moved).toMatchObject({ ok: false, code });
    expect(moved.reason).toContain(words);
    expect(moved.reason).toContain(thread);
    await endsRight(thread, log, 20);
  });

  it('of a thread that has ended, or never was, is answered as gone', async () => {
    const { log, thread } = await stepping(2, 1000);
    await endsRight(thread, log, 2);
    for (const name of [thread, '1.99', '7.1', 'x', '', '1.1.1'])
      expect(await job.move(name, 1, 2)).toMatchObject({ ok: false, code: 'gone' });
    await until('nothing to be left', async () => (await job.host(1).report()).threads.length === 0);
  });

  it('twice at once happens once', async () => {
    const { log, thread } = await stepping(60, 5000, 64);
    const orders = [1, 2, 3].map(() => job.order(thread, 1, 2));
    const outcomes = await Promise.all(orders.map(o => job.host(1).next<Moved>('moved', m => m.move === o)));
    expect(outcomes.filter(m => m.ok).length).toBe(1);
    for (const m of outcomes.filter(one => !one.ok)) expect(['busy', 'gone']).toContain(m.code);
    await endsRight(thread, log, 60);
    expect(job.host(2).all('arrived').length).toBe(1);
  });

  it.each([
    ['socket', 'is a socket'],
    ['pipe', 'is a pipe'],
    ['eventfd', 'is a eventfd'],
    ['epoll', 'is a epoll instance'],
    ['flock', 'holds a lock on FILE'],
    ['lockf', 'holds a lock on FILE'],
    ['shared', 'maps FILE shared and writable'],
    ['deleted', 'FILE, which has been deleted'],
  ])('of a thread that holds a %s says what holds it; when it has let go it moves', async (what, words) => {
    const file = guests.file(what);
    const log = guests.file('log');
    job = await Job.start(guests.build('holds.c'), { hosts: 2, argv: [what, file, log] });
    const thread = await job.thread();
    await until('the thread to hold it', () => job.output(thread).includes('holding'));
    const pinned = async (at: number) => (await job.host(at).report()).threads[0]?.pinned;
    if (what !== 'deleted') expect(await pinned(1)).toContain(words.replace('FILE', file)); // without any move
    const moved = await job.move(thread, 1, 2);
    expect(moved).toMatchObject({ ok: false, code: 'pinned', bytes: 0 });
    expect(moved.reason).toContain(words.replace('FILE', file));
    writeFileSync(`${file}.go`, '');
    await until('the thread to let go', () => job.output(thread).includes('free'));
    expect(await pinned(1)).toBe(null);
    expect(await job.move(thread, 1, 2)).toMatchObject({ ok: true });
    writeFileSync(`${file}.end`, '');
    expect((await job.exited(thread)).status).toBe(5);
    expect(lines(log)).toEqual(['0', '1', '2', '3', '4']);
  });

  it.each(['renamed', 'shorter'])(
    'is refused by name before anything is sent when an open file is %s there',
    async what => {
      const file = guests.file(what);
      const log = guests.file('log');
      for (const n of ['a', 'b']) writeFileSync(`${file}-${n}`, '');
      job = await Job.start(guests.build('holds.c'), {
        hosts: 2,
        argv: [what, file, log],
        // what the threads call `file` is another file on each node
        each:
          what === 'shorter' ? ['a', 'b'].map(n => ({ files: [{ path: file, real: `${file}-${n}`, hash: '' }] })) : [],
      });
      const thread = await job.thread();
      await until('the thread to hold it', () => job.output(thread).includes('holding'));
      const moved = await job.move(thread, 1, 2);
      expect(moved).toMatchObject({ ok: false, code: 'refused', bytes: 0 });
      expect(moved.reason).toContain(file);
      expect(job.host(2).all('arrived')).toEqual([]);
      for (const suffix of ['go', 'end']) writeFileSync(`${file}.${suffix}`, '');
      expect((await job.exited(thread)).status).toBe(5);
      expect(lines(log)).toEqual(['0', '1', '2', '3', '4']);
    },
  );

  it('to a machine without what its processor had is refused by name before anything is sent; the other way it goes', async () => {
    const { log, thread } = await stepping(40, 10_000, 0, { each: [{}, { without: 'sse2,cx8' }] });
    expect(await job.move(thread, 1, 2)).toMatchObject({
      ok: false,
      code: 'features',
      bytes: 0,
      reason: `thread ${thread} stays where it is: node n2 answers: this machine lacks cx8, sse2, which the thread may use since it started where that is`,
    });
    expect(job.host(2).all('arrived')).toEqual([]);
    const other = await job.thread(2, 1);
    expect(await job.move(other, 2, 1)).toMatchObject({ ok: true });
    // It has started without, and may go where they are missing for ever after.
    expect(await job.move(other, 1, 2)).toMatchObject({ ok: true });
    for (const one of [thread, other]) expect((await job.exited(one)).status).toBe(7);
    expect(lines(log).sort()).toEqual([...steps(40, 0), ...steps(40, 1)].sort());
  });

  it('to a machine with pages of another size is refused', async () => {
    const { log, thread } = await stepping(10, 10_000, 0, { each: [{}, { without: '4096-byte-pages' }] });
    const moved = await job.move(thread, 1, 2);
    expect(moved).toMatchObject({ ok: false, code: 'features', bytes: 0 });
    expect(moved.reason).toContain('this machine lacks 4096-byte-pages');
    await endsRight(thread, log, 10);
  });

  it('to a node without memory for it is refused, with thread, node and bytes', async () => {
    const { log, thread } = await stepping(40, 10_000, 64, { each: [{}, { memory: 80 << 20 }] });
    const moved = await job.move(thread, 1, 2);
    expect(moved).toMatchObject({ ok: false, code: 'no-memory', bytes: 0 });
    expect(moved.reason).toMatch(
      new RegExp(
        `^thread ${thread} stays where it is: node n2 answers: it has 6\\d\\.\\d MiB, and there is room for \\d\\d\\.\\d MiB$`,
      ),
    );
    await endsRight(thread, log, 40);
  });

  it('into a host where its addresses are taken is a collision', async () => {
    const low = 0x200000000000;
    const zone: [number, number] = [low, low + (1 << 26)];
    const log = guests.file('log');
    job = await Job.start(guests.build('steps.c'), {
      hosts: 2,
      argv: [log, '40', '10000'],
      threadMemory: 1 << 26,
      zone,
    });
    const first = await job.thread(1, 0);
    const second = await job.thread(2, 1);
    const moved = await job.move(first, 1, 2);
    expect(moved).toMatchObject({ ok: false, code: 'collision', bytes: 0 });
    expect(moved.reason).toContain('0x200000000000');
    expect((await job.host(1).report()).threads.map(t => t.thread)).toEqual([first]);
    expect((await job.exited(second)).status).toBe(7);
    expect((await job.exited(first)).status).toBe(7);
    expect(lines(log).sort()).toEqual([...steps(40, 0), ...steps(40, 1)].sort());
  });
});

describe.each([
  ['through a socket', { moves: 'stream' as const }],
  ['within one machine', {}],
])('a move %s that fails midway', (_way, how) => {
  const MIB = 256;

  it('because its destination is killed: the thread goes on where it was', async () => {
    const { log, thread } = await stepping(300, 5000, MIB, how);
    const before = status(job.host(2).pid, 'VmRSS');
    const move = job.order(thread, 1, 2);
    await until('part of it to be there', () => status(job.host(2).pid, 'VmRSS') > before + 20 * 1024, 0);
    job.host(2).child.kill('SIGKILL');
    const moved = await job.host(1).next<Moved>('moved', m => m.move === move);
    expect(moved).toMatchObject({ ok: false, code: 'unreachable' });
    await job.host(1).next('exited', m => m.thread === thread);
    expect(lines(log)).toEqual(steps(300));
  });

  it('because its destination falls silent: the thread goes on, and stays single when that one wakes up', async () => {
    const { log, thread } = await stepping(400, 10_000, MIB, { ...how, peerTimeout: 1 });
    const before = status(job.host(2).pid, 'VmRSS');
    const move = job.order(thread, 1, 2);
    await until('part of it to be there', () => status(job.host(2).pid, 'VmRSS') > before + 20 * 1024, 0);
    job.host(2).child.kill('SIGSTOP');
    const moved = await job.host(1).next<Moved>('moved', m => m.move === move);
    expect(moved).toMatchObject({ ok: false, code: 'unreachable' });
    job.host(2).child.kill('SIGCONT');
    await job.host(1).next('exited', m => m.thread === thread);
    expect(job.host(2).all('arrived')).toEqual([]);
    expect(lines(log)).toEqual(steps(400));
  });
});

describe.each([
  ['through a socket', { moves: 'stream' as const }],
  ['within one machine', {}],
])('zeros, moved %s,', (_way, how) => {
  it('are not sent, and take the place of what was sent before', async () => {
    const go = guests.file('go');
    job = await Job.start(guests.build('zeros.c'), { hosts: 2, argv: [go], threadMemory: 1 << 28, ...how });
    const thread = await job.thread();
    await until('it to be ready', () => job.output(thread).includes('ready'));
    const first = await job.move(thread, 1, 2);
    expect(first).toMatchObject({ ok: true });
    // Some of what changes goes several times; of the 32 MiB nothing does.
    expect(first.bytes).toBeLessThan(24 * 2 ** 20);
    for (const from of [2, 1, 2, 1]) expect(await job.move(thread, from, 3 - from)).toMatchObject({ ok: true });
    writeFileSync(go, '');
    expect((await job.exited(thread)).status).toBe(7);
  });
});

describe.each([
  ['through a socket', { moves: 'stream' as const }],
  ['within one machine', {}],
])('a large thread where userfaultfd is not permitted, moved %s,', (_way, how) => {
  it('stands still meanwhile, which the log says once, and is whole', async () => {
    const USERFAULTFD = '323';
    const without = guests.build('without.c');
    const machine = {
      address: '127.0.0.1',
      on: (command: readonly string[]): [string, ...string[]] => [without, USERFAULTFD, ...command],
    };
    const { log, thread } = await stepping(200, 5000, 32, { ...how, machine });
    for (const from of [1, 2, 1, 2, 1]) expect(await job.move(thread, from, 3 - from)).toMatchObject({ ok: true });
    for (const host of job.hosts) {
      const said = host.all('log').map(({ msg }) => msg as string);
      expect(said.filter(line => line.includes('large threads stand still while they move'))).toEqual([
        expect.stringContaining('Operation not permitted (sysctl vm.unprivileged_userfaultfd=1'),
      ]);
    }
    await endsRight(thread, log, 200);
  });
});

describe('many at once', () => {
  it('thirty threads change places, each exactly once', async () => {
    const log = guests.file('log');
    job = await Job.start(guests.build('steps.c', '-static-pie'), {
      hosts: 2,
      argv: [log, '20', '20000', '1'],
      threadMemory: 1 << 26,
    });
    const threads = await Promise.all(
      Array.from({ length: 30 }, async (_, rank) => ({ at: 1 + (rank % 2), rank, name: '' })),
    );
    for (const t of threads) t.name = await job.thread(t.at, t.rank, 30);
    const outcomes = await Promise.all(threads.map(t => job.move(t.name, t.at, 3 - t.at)));
    expect(outcomes.filter(m => !m.ok && m.code !== 'gone').map(m => m.reason)).toEqual([]);
    for (const t of threads) expect((await job.exited(t.name)).status).toBe(7);
    expect(readFileSync(log, 'utf8').split('\n').length).toBe(30 * 20 + 1);
    expect(lines(log).sort()).toEqual(threads.flatMap(t => steps(20, t.rank)).sort());
  });
});

describe('a thread that moves of its own accord without a break', () => {
  it('waits for its agent to hear of it, so that nobody has to catch up for long', async () => {
    const log = guests.file('log');
    job = await Job.start(guests.build('wanders.c', 'dmi'), { hosts: 2, argv: [log], threadMemory: 1 << 26 });
    const thread = await job.thread();
    const moves = () => Number(lines(log)[0] ?? 0);
    await until('it to be on its way', () => moves() > 10);
    for (const host of job.hosts) host.deaf(true);
    let before = -1;
    await until('it to wait', async () => {
      const now = moves();
      if (now === before) return true;
      before = now;
      await new Promise(resolve => setTimeout(resolve, 1000));
      return false;
    });
    for (const host of job.hosts) host.deaf(false);
    await until('it to go on', () => moves() > before + 10);
    writeFileSync(`${log}.end`, '');
    expect((await job.exited(thread)).status).toBe(0);
  });

  it('gets no answer that was meant for an earlier request of its own', async () => {
    job = await Job.start(guests.build('insists.c', 'dmi'), {
      hosts: 3,
      argv: ['10'],
      threadMemory: 1 << 26,
      each: [{}, {}, { memory: 1 << 20 }], // the third refuses
    });
    const thread = await job.thread();
    // While one of these is under way the thread asks for what must wait for it; then it is refused, and asks for something else.
    let over = false;
    const exited = job.exited(thread).finally(() => {
      over = true;
    });
    while (!over) await Promise.race([Promise.all([1, 2].map(host => job.move(thread, host, 3))), exited]);
    expect({ status: (await exited).status, said: job.output(thread) }).toEqual({ status: 0, said: '' });
  });
});

describe('threads that wait for each other in the global memory', () => {
  it('are moved while they wait for a mutex, a barrier, a join, a timer, an operation', async () => {
    job = await Job.start(guests.build('waits.c', 'dmi'), { hosts: 2, argv: ['60'], threadMemory: 1 << 26 });
    const main = await job.thread();
    await until('all to exist', () => job.hosts.flatMap(h => h.all('started')).length === 5);
    const place = new Map<string, number>();
    for (const h of job.hosts) for (const m of h.all('started')) place.set(m.thread as string, h.member);
    let over = false;
    const end = job.exited(main).finally(() => {
      over = true;
    });
    const failures: Moved[] = [];
    let done = 0;
    await Promise.all(
      [...place].map(async ([thread, at]) => {
        for (let here = at; !over; ) {
          const moved = await Promise.race([job.move(thread, here, 3 - here), end]);
          if (moved.t !== 'moved') return;
          if ((moved as Moved).ok) {
            here = 3 - here;
            done++;
          } else if ((moved as Moved).code === 'gone') {
            return;
          } else {
            failures.push(moved as Moved);
          }
        }
      }),
    );
    expect((await end).status).toBe(0);
    expect(job.output(main)).toBe('ok 60\n');
    expect(failures.map(m => m.reason)).toEqual([]);
    expect(done).toBeGreaterThan(5);
  });
});
