import type { RunEvent } from '../demo/run-log.js';

/** The job had got so far at a time (Unix seconds). */
export interface Progress {
  readonly time: number;
  readonly iteration: number;
}

/** Between two changes of the cluster. */
export interface Phase {
  readonly nodes: number;
  readonly iterations: number;
  readonly secondsPerIteration: number;
}

export interface Change {
  readonly kind: 'join' | 'leave';
  readonly nodes: number;
  /** Seconds after the first iteration. */
  readonly begin: number;
  /** From the first node's coming until the last thread had moved; from the first drain's start until the last node had left. */
  readonly seconds: number;
  readonly threads: number;
  readonly bytes: number;
  /** The longest that a thread stood still for its move. */
  readonly longestPause: number;
  readonly secondsPerIteration: number;
}

export interface Figures {
  readonly phases: readonly Phase[];
  readonly changes: readonly Change[];
  /** Times are seconds after the first iteration. */
  readonly iterations: readonly { readonly time: number; readonly seconds: number }[];
  readonly threads: readonly { readonly time: number; readonly nodes: Readonly<Record<string, number>> }[];
}

/**
 * What one run has shown.
 * @param progress in the order of time; two at least
 * @param initial nodes that were there from the start
 */
export function figures(
  progress: readonly Progress[],
  events: readonly RunEvent[],
  initial: readonly string[],
): Figures {
  const start = progress[0]?.time ?? 0;
  const end = progress.at(-1)?.time ?? start;
  const joins = events.filter(event => event.event === 'join' && !initial.includes(event.node));
  const drains = events.filter(event => event.event === 'drain-started');
  const leaves = events.filter(event => event.event === 'leave');
  const changes: Change[] = [];
  const add = (kind: Change['kind'], nodes: number, first: number, cause: string, others: readonly RunEvent[]) => {
    const moves = events.filter(event => event.event === 'moved').filter(event => event.cause === cause);
    const last = Math.max(first, ...moves.map(({ time }) => time), ...others.map(({ time }) => time));
    changes.push({
      kind,
      nodes,
      begin: first - start,
      seconds: last - first,
      threads: moves.length,
      bytes: moves.reduce((sum, { bytes }) => sum + bytes, 0),
      longestPause: Math.max(0, ...moves.map(({ pauseSeconds }) => pauseSeconds)),
      secondsPerIteration: pace(progress, first, last),
    });
  };
  const earliest = (some: readonly RunEvent[]) => Math.min(...some.map(({ time }) => time));
  if (joins.length > 0) add('join', joins.length, earliest(joins), 'join', []);
  if (drains.length > 0) add('leave', drains.length, earliest(drains), 'drain', leaves);

  const phases: Phase[] = [];
  let [nodes, from] = [initial.length, start];
  for (const { kind, nodes: n, begin, seconds } of [
    ...changes,
    { kind: 'end' as const, nodes: 0, begin: end - start, seconds: 0 },
  ]) {
    const to = start + begin;
    phases.push({
      nodes,
      iterations: done(progress, to) - done(progress, from),
      secondsPerIteration: pace(progress, from, to),
    });
    nodes += kind === 'join' ? n : -n;
    from = to + seconds;
  }
  const spread = events.filter(event => event.event === 'threads');
  return {
    phases,
    changes,
    iterations: progress.slice(1).map(({ time, iteration }, i) => {
      const before = progress[i] as Progress;
      return { time: time - start, seconds: (time - before.time) / Math.max(1, iteration - before.iteration) };
    }),
    threads: spread.map(({ time, nodes: at }) => ({ time: time - start, nodes: at })),
  };
}

/** Iterations that were done at a time, between two reports in proportion. */
function done(progress: readonly Progress[], time: number): number {
  let before = progress[0];
  for (const after of progress) {
    if (before && after.time >= time && after.time > before.time) {
      const share = Math.max(0, time - before.time) / (after.time - before.time);
      return before.iteration + share * (after.iteration - before.iteration);
    }
    before = after;
  }
  return before?.iteration ?? 0;
}

function pace(progress: readonly Progress[], from: number, to: number): number {
  const iterations = done(progress, to) - done(progress, from);
  return iterations > 0 ? (to - from) / iterations : 0;
}
