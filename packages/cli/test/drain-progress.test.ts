import type { ClusterEvent } from '@dmi/core';
import { describe, expect, it } from 'vitest';
import { DrainProgress } from '../src/show/drain-progress.js';

const MIB = 2 ** 20;
const moved = (thread: string, from: string, cause = 'drain'): ClusterEvent => ({
  ...{ time: 11, event: 'moved', job: 'j', thread, from, to: 'b', fromMember: 0, toMember: 1 },
  ...{ bytes: 40 * MIB, seconds: 0.1, pauseSeconds: 0, cause, collision: false },
});

describe('the progress of a drain', () => {
  it('counts its threads, and only its own, and says at what rate they went', () => {
    const progress = new DrainProgress();
    const lines = (
      [
        { time: 10, event: 'drain-started', node: 'a', threads: 2 },
        { time: 10, event: 'drain-started', node: 'z', threads: 9 },
        moved('0.1', 'a'),
        moved('7.1', 'z'),
        moved('0.9', 'a', 'balance'),
        { ...moved('0.2', 'a'), event: 'move-failed', code: 'pinned', reason: 'it has a socket' } as ClusterEvent,
        { ...moved('0.2', 'a'), event: 'move-failed', code: 'pinned', reason: 'thread 0.2 stays' } as ClusterEvent,
        { ...moved('0.2', 'a'), event: 'move-failed', code: 'pinned', reason: 'thread 0.2 stays' } as ClusterEvent, // again
        moved('0.2', 'a'),
        moved('0.3', 'a'), // started meanwhile
        { time: 12, event: 'drain-finished', node: 'z', seconds: 2 },
        { time: 12, event: 'drain-finished', node: 'a', seconds: 2 },
      ] as ClusterEvent[]
    ).map(event => progress.line(event));
    expect(lines.filter(line => line !== null)).toEqual([
      'draining a: 2 threads',
      '  1 of 2: thread 0.1 -> b, 40.0 MiB',
      '  thread 0.2 stays for now: it has a socket',
      '  thread 0.2 stays',
      '  2 of 2: thread 0.2 -> b, 40.0 MiB',
      '  3 of 3: thread 0.3 -> b, 40.0 MiB',
      '  3 threads, 120 MiB, at 60.0 MiB/s',
    ]);
  });

  it('is shown for a drain that somebody else has begun', () => {
    const progress = new DrainProgress();
    expect(progress.line(moved('0.1', 'a'))).toBe('  1: thread 0.1 -> b, 40.0 MiB');
  });
});
