import { expect, test } from 'vitest';
import { parseFemLine } from '../scripts/src/demo/fem-output.js';
import { changes, parseEvent, type RunEvent, totals } from '../scripts/src/demo/run-log.js';
import { picture, plain } from '../scripts/src/demo/screen.js';
import { difference } from '../scripts/src/demo/solution.js';

const initial = new Set(['node-1', 'node-2']);

function moved(time: number, from: string, to: string, cause: string): RunEvent {
  const thread = `0.${time}`;
  return { event: 'moved', time, thread, from, to, bytes: 1000, seconds: 0.5, pauseSeconds: 0.1, cause };
}

const log: RunEvent[] = [
  { event: 'join', time: 0, node: 'node-1' },
  { event: 'join', time: 1, node: 'node-2' },
  { event: 'join', time: 10, node: 'node-3' },
  moved(11, 'node-1', 'node-3', 'join'),
  moved(12, 'node-2', 'node-3', 'join'),
  { event: 'drain-started', time: 20, node: 'node-1' },
  { event: 'collision', time: 21, node: 'node-2' },
  moved(22, 'node-1', 'node-2', 'drain'),
  { event: 'leave', time: 23, node: 'node-1', reason: 'drained' },
];

test('each join and leave is credited with the moves it caused', () => {
  expect(changes(log, initial)).toEqual([
    { kind: 'join', node: 'node-3', threads: 2, bytes: 2000, seconds: 2, collisions: 0 },
    { kind: 'leave', node: 'node-1', threads: 1, bytes: 1000, seconds: 2, collisions: 1 },
  ]);
});

test('the nodes of the start are not counted as joins', () => {
  expect(totals(log, initial)).toEqual({
    joins: 1,
    leaves: 1,
    threadsMoved: 3,
    bytesMoved: 3000,
    moveSeconds: 1.5,
    collisions: 1,
  });
});

test('events that the demo has no use for are skipped', () => {
  expect(parseEvent('{"event":"member","time":1,"member":3}')).toBeUndefined();
  expect(parseEvent('{"event":"leave","time":1,"node":"a","reason":"drained"}')).toMatchObject({ node: 'a' });
});

test('the lines of the finite-element program are understood, and others left alone', () => {
  expect(parseFemLine('iteration 120 residual 3.40e-05')).toEqual({
    kind: 'progress',
    iteration: 120,
    residual: 3.4e-5,
  });
  expect(parseFemLine('deck a b.inp nodes=9 elements=4 dof=21 threads=16')).toEqual({
    kind: 'deck',
    dof: 21,
    threads: 16,
  });
  expect(parseFemLine('result iterations=7 relResidual=9.1e-09 seconds=1.5 vtu=out dir/x.vtu')).toEqual({
    kind: 'result',
    iterations: 7,
    residual: 9.1e-9,
    vtu: 'out dir/x.vtu',
  });
  expect(parseFemLine('maximum displacement 1.0e-03 at node 45')).toBeUndefined();
});

test('solutions are compared component by component, and nonsense is refused', () => {
  expect(difference(Float64Array.of(1, -4, 2), Float64Array.of(1, -3.5, 2))).toEqual({ maxAbsDiff: 0.5, maxAbs: 4 });
  expect(() => difference(Float64Array.of(1), Float64Array.of(1, 2))).toThrow('1 and 2 components');
  expect(() => difference(Float64Array.of(Number.NaN), Float64Array.of(1))).toThrow('not a number');
  expect(() => difference(new Float64Array(), new Float64Array())).toThrow('empty');
});

test('progress names iteration, residual and threads per node, without colours where none are wanted', () => {
  const status = {
    title: 'elastic',
    iteration: 50,
    expected: 100,
    residual: 1e-3,
    nodes: { 'node-1': 9, 'node-2': 1 },
  };
  expect(plain(status)).toBe('elastic: iteration 50/100, residual 1.00e-3, threads node-1=9 node-2=1');
  const lines = picture(status, false);
  expect(lines[0]).toContain('iteration 50 of 100');
  expect(lines[1]).toContain('9 threads');
  expect(lines[2]).toContain('1 thread');
  expect(lines.join('')).not.toContain('\x1b');
});
