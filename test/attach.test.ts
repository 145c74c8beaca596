import { attach, type GlobalMemory, GlobalMemoryError } from '@dmi/global-memory';
import { afterEach, describe, expect, it } from 'vitest';
import { guestPrograms } from './cluster/guests.js';
import { type Command, Processes } from './cluster/processes.js';

// Node.js attached to the global memory of a job that runs under real agents and hosts (test/guests/attached.c).

const guests = guestPrograms();
let cluster: Processes;
afterEach(() => cluster?.stop());

interface Addresses {
  numbers: bigint;
  turn: bigint;
  counter: bigint;
  mutex: bigint;
  meeting: bigint;
}

/** The job, and what it has said about its memory. */
async function start(): Promise<{ job: Command; id: string; at: Addresses }> {
  cluster = await Processes.start(['a', 'b']);
  const job = cluster.run(guests.build('attached'));
  const [numbers, turn, counter, mutex, meeting] = (await job.firstLine()).split(' ').map(BigInt) as bigint[];
  const [{ job: id = '' } = {}] = cluster.json<{ job: string }[]>('jobs');
  return { job, id, at: { numbers, turn, counter, mutex, meeting } as Addresses };
}

async function move(memory: GlobalMemory, turn: bigint, to: bigint): Promise<void> {
  await memory.array(BigInt64Array, turn, 1).set(0, to);
}

/** Follows the turns until it is this one's. */
async function untilTurn(memory: GlobalMemory, turn: bigint, wanted: bigint): Promise<bigint[]> {
  const seen: bigint[] = [];
  for await (const bytes of memory.watch(turn, 8, { signal: AbortSignal.timeout(30_000) })) {
    seen.push(new DataView(bytes.buffer).getBigInt64(0, true));
    if ((seen.at(-1) as bigint) >= wanted) break;
  }
  return seen;
}

describe('a program attached to a running job', () => {
  it('reads, writes, locks, meets and watches together with the threads of the job', async () => {
    const { job, id, at } = await start();
    await using memory = await attach({ job: id, address: cluster.address });
    const numbers = memory.array(Float64Array, at.numbers, 100);

    // Typed views, bytes, groups, and every mode.
    for (const mode of ['get', 'invalidate', 'update'] as const)
      expect(await numbers.read(6, 10, { mode })).toEqual(Float64Array.of(3, 3.5, 4, 4.5));
    const two = new Float64Array(2);
    await memory.readInto(at.numbers + 8n, two);
    expect(two).toEqual(Float64Array.of(0.5, 1));
    expect(new Float64Array((await memory.read(at.numbers + 8n * 99n, 8)).buffer)).toEqual(Float64Array.of(49.5));
    await numbers.write(Float64Array.of(-1, -2), 7, { mode: 'put' }); // over the border of two pages
    await memory.writeGroup([{ address: at.numbers + 8n * 99n, data: Float64Array.of(-3) }], { mode: 'exclusive' });
    const [left, right] = [new Float64Array(1), new Float64Array(1)];
    await memory.readGroup([
      { address: at.numbers + 8n * 7n, data: left },
      { address: at.numbers + 8n * 99n, data: right },
    ]);
    expect([left[0], right[0]]).toEqual([-1, -3]);
    await expect(numbers.read(90, 101)).rejects.toMatchObject({ code: 'bad-argument' });
    await expect(memory.read(at.numbers + 100_000n, 8)).rejects.toMatchObject({ code: 'bad-address' });
    await move(memory, at.turn, 1n);

    // A mutex between a thread of the job and us.
    expect((await untilTurn(memory, at.turn, 2n)).at(-1)).toBe(2n);
    const counter = memory.array(BigInt64Array, at.counter, 1);
    const mutex = memory.mutex(at.mutex);
    for (let i = 0; i < 20; i++)
      await mutex.run(async () => {
        await counter.set(0, ((await counter.get(0)) as bigint) + 1n);
      });
    await move(memory, at.turn, 3n);

    // It holds the mutex now: a wait for it can be given up.
    await untilTurn(memory, at.turn, 4n);
    expect(await counter.get(0)).toBe(70n);
    expect(await mutex.tryLock()).toBeNull();
    const giveUp = new AbortController();
    const waiting = mutex.lock({ signal: giveUp.signal });
    giveUp.abort(new Error('enough'));
    await expect(waiting).rejects.toMatchObject({ code: 'aborted', cause: new Error('enough') });
    await move(memory, at.turn, 5n);
    await mutex.run(() => {}); // what was given up holds nothing

    await memory.barrier(at.meeting, 2);
    expect(await memory.allreduce(at.meeting, 2, 'sum', 2.5)).toBe(4);

    // Atomics, on memory of our own.
    const own = await memory.mmap({ pageSize: 64, pageCount: 2 });
    expect([await memory.fetchAdd(own, 5n), await memory.fetchAdd(own, -1n)]).toEqual([0n, 5n]);
    expect(await memory.compareAndSwap(own, BigInt64Array.of(3n), BigInt64Array.of(9n))).toBe(false);
    expect(await memory.compareAndSwap(own, BigInt64Array.of(4n), BigInt64Array.of(9n))).toBe(true);
    expect(new BigInt64Array((await memory.fetchAndStore(own, BigInt64Array.of(1n))).buffer)).toEqual(
      BigInt64Array.of(9n),
    );
    await memory.munmap(own);
    await expect(memory.read(own, 8)).rejects.toMatchObject({ code: 'bad-address' });

    await move(memory, at.turn, 6n);
    const { stdout, stderr, status } = await job.ended;
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
    expect(stdout).toMatch(/\ndone\n$/);
  });

  it('can stop a watch, leave while the job goes on, and is told when the job ends', async () => {
    const { job, id, at } = await start();
    const first = await attach({ job: id, address: cluster.address });
    const stop = new AbortController();
    const watch = first.watch(at.turn, 8, { signal: stop.signal });
    expect(await watch.next()).toMatchObject({ done: false, value: new Uint8Array(8) });
    const change = watch.next();
    stop.abort();
    await expect(change).rejects.toMatchObject({ code: 'aborted' });
    await first.close();
    await expect(first.read(at.turn, 8)).rejects.toMatchObject({ code: 'closed' });

    await using second = await attach({ job: id.slice(0, -1), address: cluster.address });
    expect(second.member).not.toBe(first.member);
    const held = second.mutex(at.mutex).lock();
    await (await held).unlock();
    const waiting = second.barrier(at.meeting, 2).catch((error: unknown) => error);
    expect(cluster.dmi('kill', id).status).toBe(0);
    const ended = await waiting;
    expect(ended).toBeInstanceOf(GlobalMemoryError);
    expect(ended).toMatchObject({ code: 'closed' });
    expect((await job.ended).status).not.toBe(0);
  });

  it('is refused for a job that is not there, by name', async () => {
    cluster = await Processes.start(['a']);
    await expect(attach({ job: 'nothing', address: cluster.address })).rejects.toThrow(/nothing/);
  });
});
