import { writeFileSync } from 'node:fs';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { Network } from '../../scripts/src/network.js';
import { Guests, Job, type JobOptions, lines, until } from './harness.js';

// Pages that go over compressed. The thread checks its memory, and notes every step.

const guests = new Guests();
let job: Job;
afterEach(() => job?.stop());
afterAll(() => guests.remove());

const MIB = 24;

/** A thread with so much memory, of which so many words in a row are alike. It ends once `go` is there. */
async function holding(mib: number, alike: number, options: JobOptions & { each?: JobOptions[] }) {
  const log = guests.file('log');
  const go = guests.file('go');
  job = await Job.start(guests.build('steps.c'), {
    hosts: 2,
    argv: [log, '30', '1000', `${mib}`, go, `${alike}`],
    threadMemory: 1 << 29,
    moves: 'stream',
    ...options,
  });
  const thread = await job.thread();
  await until('the first step', () => lines(log).length > 0);
  const endsRight = async () => {
    writeFileSync(go, '');
    expect((await job.exited(thread)).status).toBe(7);
    expect(lines(log)).toEqual(Array.from({ length: 30 }, (_, i) => `0 ${i}`));
  };
  return { thread, endsRight };
}

/** What the source says of each compressed move: bytes of pages, and bytes that went over. */
function compressed(member: number): [number, number][] {
  const units: Record<string, number> = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };
  return job
    .host(member)
    .all('log')
    .map(m => /: ([\d.]+) (\w+) of pages went to node n\d as ([\d.]+) (\w+) \(lz4\)$/.exec(`${m.msg}`))
    .filter(found => found !== null)
    .map(([, a, u = '', b, v = '']) => [Number(a) * (units[u] ?? Number.NaN), Number(b) * (units[v] ?? Number.NaN)]);
}

describe('a thread whose pages are compressed', () => {
  it('is whole, back and forth, and less goes over', async () => {
    const { thread, endsRight } = await holding(MIB, 16, { compress: 'always' });
    for (const [from, to] of [
      [1, 2],
      [2, 1],
      [1, 2],
    ] as const) {
      const moved = await job.move(thread, from, to);
      expect(moved).toMatchObject({ ok: true });
      expect(moved.bytes).toBeGreaterThan(MIB * 2 ** 20);
    }
    await endsRight();
    for (const [bytes, wire] of [...compressed(1), ...compressed(2)]) {
      expect(bytes).toBeGreaterThan(MIB * 2 ** 20);
      expect(wire).toBeLessThan(bytes / 3);
      expect(wire).toBeGreaterThan(MIB * 2 ** 10);
    }
    expect([compressed(1).length, compressed(2).length]).toEqual([2, 1]);
  });

  it('is whole when most of them do not get smaller', async () => {
    const { thread, endsRight } = await holding(MIB, 1, { compress: 'always' });
    expect(await job.move(thread, 1, 2)).toMatchObject({ ok: true });
    expect(await job.move(thread, 2, 1)).toMatchObject({ ok: true });
    await endsRight();
  });

  it('stays where it is when the connection breaks among them', async () => {
    const { thread, endsRight } = await holding(MIB, 16, { compress: 'always', each: [{ fault: 'source:pages:cut' }] });
    expect(await job.move(thread, 1, 2)).toMatchObject({ ok: false, code: 'unreachable' });
    await endsRight();
  });
});

const missing = Network.missing();
describe.skipIf(missing)(`on a link of 200 Mbit/s${missing ? ` (left out: ${missing})` : ''}`, () => {
  it.each([
    ['when they get smaller', 16, { compress: 'auto' as const }, 1],
    ['not unless that is asked for', 16, {}, 0],
  ])('pages are compressed %s', async (_when, alike, how, times) => {
    const network = Network.of(['a', 'b']);
    try {
      network.limit('b', '200mbit');
      const each = ['a', 'b'].map(name => ({
        machine: { address: network.address(name), on: (command: readonly string[]) => network.on(name, command) },
      }));
      const { thread, endsRight } = await holding(2 * MIB, alike, { ...how, each });
      expect(await job.move(thread, 1, 2)).toMatchObject({ ok: true });
      await endsRight();
      expect(compressed(1).length).toBe(times);
      for (const [bytes, wire] of compressed(1)) expect(wire).toBeLessThan((bytes / 4) * 3);
    } finally {
      await job.stop();
      network.remove();
    }
  });
});
