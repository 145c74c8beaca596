import { writeFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { Guests, Job, lines, type Moved, until } from './harness.js';

// A move that breaks at every step of its protocol, on either side (native/host/moves.h). Whatever happens the thread exists
// exactly once, or the job fails and says why. It notes every step in a file, where a step taken twice or never shows.

const guests = new Guests();
afterAll(() => guests.remove());

const STEPS = 60;
const steps = Array.from({ length: STEPS }, (_, i) => `0 ${i}`);

/** stays: it ends at the source. goes: it ends at the destination. fails: the source says why the job
 *  cannot go on. dies: it is lost with the host that was killed, and lives nowhere else. */
type End = 'stays' | 'goes' | 'stays or goes' | 'stays or fails' | 'fails' | 'dies';

const CASES: [point: string, action: 'cut' | 'kill' | 'stall', end: End][] = [
  ['source:offer', 'cut', 'stays'],
  ['source:pages', 'cut', 'stays'],
  ['source:state', 'cut', 'stays'],
  ['source:end', 'cut', 'stays or goes'],
  ['source:running', 'cut', 'goes'],
  ['source:offer', 'kill', 'dies'],
  ['source:pages', 'kill', 'dies'],
  ['source:state', 'kill', 'dies'],
  ['source:end', 'kill', 'goes'],
  ['source:running', 'kill', 'goes'],
  ['source:offer', 'stall', 'stays'],
  ['source:pages', 'stall', 'stays'],
  ['source:end', 'stall', 'goes'],
  ['destination:accept', 'cut', 'stays'],
  ['destination:pages', 'cut', 'stays or goes'],
  ['destination:state', 'cut', 'stays or goes'],
  ['destination:complete', 'cut', 'stays or goes'],
  ['destination:decided', 'cut', 'goes'],
  ['destination:running', 'cut', 'goes'],
  ['destination:accept', 'kill', 'stays'],
  ['destination:pages', 'kill', 'stays or fails'],
  ['destination:state', 'kill', 'stays or fails'],
  ['destination:complete', 'kill', 'fails'],
  ['destination:decided', 'kill', 'fails'],
  ['destination:running', 'kill', 'dies'],
  ['destination:accept', 'stall', 'stays'],
  ['destination:pages', 'stall', 'stays'],
  ['destination:state', 'stall', 'stays'],
  ['destination:complete', 'stall', 'stays'],
  ['destination:running', 'stall', 'goes'],
];

describe.concurrent.each([
  ['through a socket', { moves: 'stream' as const }],
  ['within one machine', {}],
])('a move %s that breaks', (_way, how) => {
  it.each(CASES)('at %s, by %s: the thread %s', async (point, action, end) => {
    const log = guests.file('log');
    const go = guests.file('go');
    const fault = `${point}:${action}`;
    const atSource = point.startsWith('source');
    const job = await Job.start(guests.build('steps.c'), {
      hosts: 2,
      argv: [log, `${STEPS}`, '2000', '8', go],
      threadMemory: 1 << 28,
      peerTimeout: 1,
      ...how,
      each: atSource ? [{ fault }, {}] : [{}, { fault }],
    });
    try {
      const [source, destination] = [job.host(1), job.host(2)];
      const thread = await job.thread();
      await until('the first step', () => lines(log).length > 0);
      const move = job.order(thread, 1, 2);
      let ends = end;
      if (end === 'stays or fails') {
        await until('the source to know', () => source.all('failed').length + source.all('moved').length > 0);
        ends = source.all('failed').length > 0 ? 'fails' : 'stays';
      }
      if (ends === 'fails') {
        await until('the source to give up', () => source.all('failed').length > 0);
        expect(source.all('failed')[0]?.reason).toMatch(
          /sent whole to node 2, which does not say whether it runs there/,
        );
      } else if (ends === 'dies') {
        await (atSource ? source : destination).ended();
        if (atSource) {
          await until('the destination to give up', () => destination.warnings().length > 0);
          expect(destination.all('arrived')).toEqual([]);
          expect((await destination.report()).threads).toEqual([]);
        }
      } else {
        const told = !atSource || action === 'cut';
        const moved = told ? await source.next<Moved>('moved', m => m.move === move) : undefined;
        if (!told)
          await until(
            'the destination to take it or leave it',
            () => destination.all('arrived').length + destination.warnings().length > 0,
          );
        writeFileSync(go, '');
        const goes = ends === 'goes' || (ends === 'stays or goes' && moved?.ok === true);
        if (moved) expect(moved).toMatchObject(goes ? { ok: true } : { ok: false, code: 'unreachable' });
        expect(await (goes ? destination : source).next('exited', m => m.thread === thread)).toMatchObject({
          status: 7,
        });
        expect(destination.all('arrived').length).toBe(goes ? 1 : 0);
        expect(lines(log)).toEqual(steps);
      }
      expect(lines(log)).toEqual(steps.slice(0, lines(log).length));
    } finally {
      await job.stop();
    }
  });
});
