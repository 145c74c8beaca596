import { bytes, duration } from '../units.js';
import type { JobResult } from './job.js';
import { type Change, changes, totals } from './run-log.js';
import type { Difference } from './solution.js';

/** What `npm run demo -- --json` prints. Seconds are those of the elastic run. */
export interface Summary {
  readonly sameSolution: boolean;
  readonly maxAbsDiff: number;
  readonly relResidual: number;
  readonly joins: number;
  readonly leaves: number;
  readonly threadsMoved: number;
  readonly bytesMoved: number;
  readonly moveSeconds: number;
  readonly collisions: number;
  readonly iterations: number;
  readonly seconds: number;
  /** The same job on the two nodes of the start, unchanged; from an earlier demo when nothing has been rebuilt. */
  readonly unchangedSeconds: number;
  readonly vtu: string;
  readonly changes: readonly Change[];
}

/** Two solutions are the same when they differ by less than the solver's tolerance leaves open. */
const SAME = 1e-6;

export function summarise(
  elastic: JobResult,
  unchanged: { readonly seconds: number },
  { maxAbsDiff, maxAbs }: Difference,
  initial: ReadonlySet<string>,
): Summary {
  return {
    sameSolution: maxAbsDiff <= SAME * maxAbs,
    maxAbsDiff,
    relResidual: elastic.residual,
    ...totals(elastic.events, initial),
    iterations: elastic.iterations,
    seconds: elastic.seconds,
    unchangedSeconds: unchanged.seconds,
    vtu: elastic.vtu,
    changes: changes(elastic.events, initial),
  };
}

export function describe(summary: Summary, { maxAbs }: Difference): string {
  const rows = summary.changes.map(({ kind, node, threads, bytes: size, seconds, collisions }) => [
    `  ${node}`,
    kind === 'join' ? 'joined' : 'left',
    `${threads} threads`,
    bytes(size),
    duration(seconds),
    `${collisions} collisions`,
  ]);
  const widths = rows[0]?.map((_, i) => Math.max(...rows.map(row => row[i]?.length ?? 0))) ?? [];
  const table = rows.map(row =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  const same = summary.maxAbsDiff === 0 ? 'bit for bit the same' : `of at most ${maxAbs.toExponential(3)}`;
  return [
    'The cluster changed while the job ran:',
    ...table,
    `  in all: ${summary.threadsMoved} threads moved, ${bytes(summary.bytesMoved)} in ${duration(summary.moveSeconds)}, ${summary.collisions} collisions`,
    '',
    `${summary.iterations} iterations in ${duration(summary.seconds)}, residual ${summary.relResidual.toExponential(2)}`,
    `(on two nodes that never changed: ${duration(summary.unchangedSeconds)})`,
    `largest difference of a displacement between the two runs: ${summary.maxAbsDiff} (${same})`,
    `result: ${summary.vtu}`,
  ].join('\n');
}
