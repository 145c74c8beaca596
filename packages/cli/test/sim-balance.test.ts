import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DEFAULT_BALANCE, type PolicyName } from '@dmi/core';
import { afterAll, describe, expect, it } from 'vitest';
import { simulate } from '../src/sim/balance/simulate.js';
import { readRecorded, readTrace, type Trace } from '../src/sim/balance/trace.js';
import { generate, type Shape } from '../src/sim/balance/workload.js';

const DMI = fileURLToPath(new URL('../bin/dmi.js', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'dmi-sim-balance-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const shape: Shape = {
  threads: 32,
  nodes: 4,
  cores: 2,
  iterations: 200,
  work: 1,
  bytes: 16 << 20,
  seed: 1,
  spot: false,
};
const run = (trace: Trace, policy: PolicyName) => simulate(trace, policy, DEFAULT_BALANCE);

function file(name: string, text: string): string {
  writeFileSync(join(dir, name), text);
  return join(dir, name);
}

describe('a simulated job', () => {
  it('load beats threads on a partition with uneven work, by a quarter at least', () => {
    const trace = generate('fem', shape);
    const [threads, load] = [run(trace, 'threads'), run(trace, 'load')];
    expect(load.iterations).toBe(200);
    expect(load.makespan).toBeLessThan(0.75 * threads.makespan);
    expect(load.idle).toBeLessThan(0.5 * threads.idle);
    expect(load.moves).toBeLessThan(shape.threads / 2);
    // All cores busy all the time would be the least.
    expect(load.makespan).toBeGreaterThan((shape.iterations * shape.work) / (shape.nodes * shape.cores));
  });

  it('moves nothing when all threads are alike', () => {
    const trace = generate('uniform', shape);
    for (const policy of ['threads', 'load', 'affinity'] as const) expect(run(trace, policy).moves).toBe(0);
  });

  it('is moved off a node that is reclaimed in time, by every policy, and onto one that joins by all but none', () => {
    const trace = generate('fem', { ...shape, spot: true });
    const moves = (['threads', 'load', 'affinity', 'none'] as const).map(policy => {
      const outcome = run(trace, policy);
      expect(outcome).toMatchObject({ lost: 0, iterations: 200 });
      return outcome.moves;
    });
    expect(moves[3]).toBe(8);
    for (const n of moves.slice(0, 3)) expect(n).toBeGreaterThan(8);
  });

  it('has failed, with the threads that are lost, when a node is gone before it is empty', () => {
    const trace: Trace = {
      ...generate('uniform', { ...shape, bytes: 10e9 }),
      events: [{ at: 5, reclaim: 'node-1', notice: 25 }],
    };
    // Eight threads that take ten seconds each, one after the other.
    expect(run(trace, 'threads')).toMatchObject({ moves: 3, lost: 6 });
  });

  // Some of these move a thread late, because measurements and iterations do not keep step.
  it.each(['load', 'affinity'] as const)('settles by %s: moves come to an end', policy => {
    for (const seed of [1, 2, 90, 123, 363, 488]) {
      const trace = generate('random', { ...shape, threads: 24, seed });
      const moves = [300, 900].map(iterations => run({ ...trace, iterations }, policy).moves);
      expect([seed, moves[1]]).toEqual([seed, moves[0]]);
    }
  });

  it('follows a load that changes', () => {
    const trace = generate('uniform', shape);
    const events = [0, 1, 2, 3].map(thread => ({ at: 5, thread, work: 0.1 }));
    const [threads, load] = [run({ ...trace, events }, 'threads'), run({ ...trace, events }, 'load')];
    expect(load.makespan).toBeLessThan(0.85 * threads.makespan);
  });
});

describe('dmi sim balance', () => {
  const sim = (...args: string[]) =>
    spawnSync(process.execPath, [DMI, 'sim', 'balance', ...args], { encoding: 'utf8' });

  it('prints makespan, moves and idle time for each policy, the same every time', () => {
    const args = ['--iterations', '50', '--policies', 'threads,load'];
    const table = sim(...args).stdout;
    expect(table).toMatch(
      /^POLICY +MAKESPAN +ITERATIONS +MOVES +MOVED +IDLE +LOST\nthreads +\d+\.\d s +50 +0 +0 B +\d+\.\d % +0\nload /,
    );
    expect(sim(...args).stdout).toBe(table);
    expect(JSON.parse(sim(...args, '--json').stdout)).toMatchObject([
      { policy: 'threads', iterations: 50, moves: 0, lost: 0 },
      { policy: 'load', iterations: 50, lost: 0 },
    ]);
  });

  it('replays joins and leaves that a run has recorded', () => {
    const lines = [
      { time: 100, event: 'join', node: 'a', cores: 2 },
      { time: 100.2, event: 'join', node: 'b', cores: 2 },
      { time: 101, event: 'threads', job: 'j', nodes: {}, total: 4 },
      { time: 110, event: 'join', node: 'c', cores: 4 },
      { time: 120, event: 'drain-started', node: 'a', threads: 2 },
      { time: 130, event: 'leave', node: 'b', reason: 'dead', detail: '' },
    ];
    const recorded = readRecorded(file('run.jsonl', lines.map(line => `${JSON.stringify(line)}\n`).join('')));
    expect(recorded.nodes.map(({ name }) => name)).toEqual(['a', 'b']);
    expect(recorded.events).toMatchObject([
      { at: 10, join: { name: 'c', cores: 4 } },
      { at: 20, reclaim: 'a' },
      { at: 30, reclaim: 'b', notice: 0 },
    ]);
    const { stdout } = sim('--events', join(dir, 'run.jsonl'), '--policies', 'threads');
    expect(stdout).toMatch(/threads +failed /);
  });

  it.each([
    ['{"nodes": [], "threads": [{"work": 1}], "iterations": 1}', 'nodes: at least one node'],
    ['{"nodes": [{"name": "a", "cores": 1}], "threads": [{"work": "x"}], "iterations": 1}', 'threads.0.work: '],
    [
      '{"nodes": [{"name": "a", "cores": 1}], "threads": [{"work": 1}], "iterations": 1, "events": [{"at": 1, "reclaim": "b", "notice": 1}]}',
      'events.0.reclaim: there is no node b',
    ],
    [
      '{"nodes": [{"name": "a", "cores": 1}], "threads": [{"work": 1}], "iterations": 1, "events": [{"at": 1, "thread": 1, "work": 1}]}',
      'events.0.thread: there are 1 threads',
    ],
  ])('refuses the trace %s', (text, message) => {
    expect(() => readTrace(file('trace.json', text))).toThrow(`trace in ${join(dir, 'trace.json')}: ${message}`);
  });

  it('names the line of a recording that is none', () => {
    expect(() => readRecorded(file('bad.jsonl', '{"time": 1, "event": "join", "node": "a"}\n'))).toThrow(
      /bad\.jsonl:1: .*cores/,
    );
    expect(() => readRecorded(file('bad.jsonl', 'x\n'))).toThrow(/bad\.jsonl:1: not an event of a run/);
    expect(() => readRecorded(join(dir, 'none'))).toThrow(/cannot read/);
    expect(sim('--policies', 'threads,best').stderr).toMatch(/"best" is none of threads, load/);
  });
});
