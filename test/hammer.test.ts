import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NodeRow, ThreadRow } from '@dmi/core';
import { afterEach, expect, it } from 'vitest';
import { ROOT } from './cluster/guests.js';
import { Processes, until } from './cluster/processes.js';

// Real processes, and chance: nodes come and go and threads are moved in an order that a seed draws, while the threads hammer the
// memory and check all they see (test/dmi/hammer.c). DMI_HAMMER_SEED=n repeats an order, DMI_HAMMER_ACTIONS=n makes it longer.
const SEED = Number(process.env.DMI_HAMMER_SEED ?? Date.now() % 1_000_000);
const ACTIONS = Number(process.env.DMI_HAMMER_ACTIONS ?? 16);
const THREADS = 8;
const MOST_NODES = 4;

const dir = mkdtempSync(join(tmpdir(), 'dmi-hammer-'));
let cluster: Processes | null = null;
afterEach(async () => {
  await cluster?.stop();
  rmSync(dir, { recursive: true, force: true });
});

/** Numbers below `below`, the same for the same seed (mulberry32). */
function drawer(seed: number): (below: number) => number {
  let state = seed;
  return below => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) % below;
  };
}

it(`a job that hammers its memory sees nothing wrong while nodes and threads come, go and move (seed ${SEED})`, async () => {
  const draw = drawer(SEED);
  const on = await Processes.start(['n0', 'n1']);
  cluster = on;
  let joined = 2;
  const over = join(dir, 'over');
  const job = on.run('-n', `${THREADS}`, `${ROOT}/test/dmi/build/hammer`, '1000000', over);
  const threads = () => on.json<ThreadRow[]>('ps').map(({ thread }) => thread);
  await until('all run', () => threads().length === THREADS + 1, 60);
  const done: string[] = [];
  for (let i = 0; i < ACTIONS && job.child.exitCode === null; i++) {
    const nodes = on.json<NodeRow[]>('nodes').map(({ name }) => name);
    const any = <T>(list: readonly T[]): T => list[draw(list.length)] as T;
    const kind = draw(4);
    if (nodes.length === 1 || (kind === 0 && nodes.length < MOST_NODES)) {
      await on.join(`n${joined}`);
      done.push(`join n${joined++}`);
    } else if (kind <= 1) {
      const node = any(nodes);
      const { stdout, stderr, status } = on.dmi('drain', node);
      done.push(`drain ${node}`);
      expect({ done, status, stdout, stderr }).toMatchObject({
        status: 0,
        stdout: expect.stringMatching(/ drained in /),
      });
    } else {
      // The balancer may be moving it: then it says so.
      const [thread, node] = [any(threads()), any(nodes)];
      const { stderr, status } = on.dmi('move', thread, node);
      done.push(`move ${thread} ${node}`);
      if (status !== 0)
        expect({ done, stderr }).toMatchObject({
          stderr: expect.stringMatching(/is being moved already|did not move to/),
        });
    }
  }
  writeFileSync(over, '');
  const { stdout, stderr, status } = await job.ended;
  expect({ done, status, stdout, stderr }).toEqual({ done, status: 0, stdout: 'ok hammer\n', stderr: '' });
  expect(job.log().filter(({ event }) => event === 'moved').length).toBeGreaterThan(0);
}, 300_000);
