import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { RunEvent } from '../scripts/src/demo/run-log.js';
import type { Result } from '../scripts/src/experiment/elastic-fem.js';
import { figures } from '../scripts/src/experiment/figures.js';
import { Network } from '../scripts/src/network.js';
import { ROOT } from './cluster/guests.js';

const dir = mkdtempSync(join(tmpdir(), 'dmi-experiment-'));
afterAll(() => rmSync(dir, { recursive: true }));

function experiment(...args: string[]) {
  return spawnSync(process.execPath, ['scripts/dist/experiment/main.js', ...args], {
    cwd: ROOT,
    encoding: 'utf8',
    timeout: 300_000,
  });
}

describe('npm run experiment', () => {
  it('-- elastic-fem --quick grows and shrinks a job and says what each change took, as JSON and as a picture', () => {
    const { stdout, stderr, status } = experiment('elastic-fem', '--quick', '--json', '--output', dir);
    expect(status, stderr).toBe(0);
    const result = JSON.parse(stdout) as Result;
    expect(JSON.parse(readFileSync(join(dir, 'elastic-fem.json'), 'utf8'))).toEqual(result);
    expect(result).toMatchObject({ sameSolution: true, maxAbsDiff: 0, conditions: { threads: 16, nodes: [2, 4, 1] } });
    expect(result.conditions.network).toMatch(Network.missing() === null ? /namespaces, 10gbit/ : /loopback/);
    expect(result.phases.map(({ nodes }) => nodes)).toEqual([2, 4, 1]);
    expect(result.changes.map(({ kind, nodes }) => [kind, nodes])).toEqual([
      ['join', 2],
      ['leave', 3],
    ]);
    for (const { threads, bytes, seconds } of result.changes) {
      expect(threads).toBeGreaterThanOrEqual(6);
      expect(bytes).toBeGreaterThan(threads * 100_000);
      expect(seconds).toBeGreaterThan(0);
    }
    const most = Math.max(...result.threads.map(({ nodes }) => Object.values(nodes).filter(n => n > 0).length));
    expect(most).toBe(4);
    expect(readFileSync(join(dir, 'elastic-fem.svg'), 'utf8')).toMatch(/^<svg .*\+2 nodes.*−3 nodes.*<\/svg>\n$/s);
  }, 300_000);

  it('says what it does not know, with its usage', () => {
    expect(experiment('rigid-fem')).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/^experiment: there is no experiment rigid-fem\nusage: npm run experiment/),
    });
  });
});

describe('the figures of a run', () => {
  const move = (time: number, cause: string): RunEvent => ({
    event: 'moved',
    time,
    thread: `0.${time}`,
    from: 'a',
    to: 'b',
    bytes: 1000,
    seconds: 0.5,
    pauseSeconds: time / 1000,
    cause,
  });

  it('are time per iteration between changes and during them, and what each change moved and took', () => {
    // Ten iterations per second at first, five during the changes, twenty between them, one at last.
    const at = (time: number, iteration: number) => ({ time, iteration });
    const progress = [at(100, 0), at(110, 100), at(112, 110), at(120, 270), at(124, 290), at(134, 300)];
    const events: RunEvent[] = [
      { event: 'join', time: 99, node: 'a' },
      { event: 'threads', time: 100, nodes: { a: 4 }, total: 4 },
      { event: 'join', time: 110, node: 'b' },
      { event: 'join', time: 110.5, node: 'c' },
      move(111, 'join'),
      move(112, 'join'),
      { event: 'drain-started', time: 120, node: 'a' },
      move(121, 'drain'),
      { event: 'leave', time: 124, node: 'a', reason: 'drained' },
    ];
    expect(figures(progress, events, ['a'])).toMatchObject({
      phases: [
        { nodes: 1, iterations: 100, secondsPerIteration: 0.1 },
        { nodes: 3, iterations: 160, secondsPerIteration: 0.05 },
        { nodes: 2, iterations: 10, secondsPerIteration: 1 },
      ],
      changes: [
        {
          kind: 'join',
          nodes: 2,
          begin: 10,
          seconds: 2,
          threads: 2,
          bytes: 2000,
          longestPause: 0.112,
          secondsPerIteration: 0.2,
        },
        {
          kind: 'leave',
          nodes: 1,
          begin: 20,
          seconds: 4,
          threads: 1,
          bytes: 1000,
          longestPause: 0.121,
          secondsPerIteration: 0.2,
        },
      ],
      threads: [{ time: 0, nodes: { a: 4 } }],
    });
  });
});
