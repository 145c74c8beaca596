import { bytes, duration } from '../units.js';
import type { Result } from './elastic-fem.js';

/** The result for people. */
export function table(result: Result): string {
  const { conditions, phases, changes } = result;
  const rows: string[][] = [['', 'NODES', 'PER ITERATION', 'TIME', 'THREADS MOVED', 'MOVED', 'LONGEST PAUSE']];
  for (const [i, { nodes, iterations, secondsPerIteration }] of phases.entries()) {
    const time = duration(iterations * secondsPerIteration);
    rows.push([`phase ${i + 1}`, String(nodes), duration(secondsPerIteration), time, '', '', '']);
    const change = changes[i];
    if (!change) continue;
    const { kind, nodes: n, seconds, threads, longestPause } = change;
    const name = `${kind === 'join' ? '+' : '−'}${n} nodes`;
    const pace = duration(change.secondsPerIteration);
    rows.push([name, '', pace, duration(seconds), String(threads), bytes(change.bytes), duration(longestPause)]);
  }
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map(row => row[column]?.length ?? 0))) ?? [];
  const lines = rows.map(row =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
  return [
    `${conditions.threads} threads, ${conditions.part} (--size ${conditions.meshSize}), ${conditions.network}, ${conditions.cores} cores in all`,
    ...lines,
    `${result.totalIterations} iterations in ${duration(result.seconds)}; ${
      result.sameSolution
        ? `the solution of an unchanging run (largest difference ${result.maxAbsDiff})`
        : `NOT the solution of an unchanging run: largest difference ${result.maxAbsDiff}`
    }`,
  ].join('\n');
}
