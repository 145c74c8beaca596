import type { Cluster } from './cluster.js';
import type { JobResult } from './job.js';
import { runFem } from './job.js';
import type { Step } from './plan.js';
import type { Screen } from './screen.js';

export interface RunOptions {
  readonly title: string;
  readonly deck: string;
  readonly threads: number;
  readonly output: string;
  /** Iterations the run is expected to take; null while nobody knows. */
  readonly expected: number | null;
  readonly steps: readonly Step[];
  /** Hears of every line of progress. */
  readonly onProgress?: (iteration: number) => void;
}

/** Runs the job on a cluster, changing the cluster as `steps` say, and shows how it goes. */
export async function run(cluster: Cluster, screen: Screen, options: RunOptions): Promise<JobResult> {
  const { title, deck, threads, output, expected } = options;
  let nodes: Readonly<Record<string, number>> = Object.fromEntries(cluster.names.map(name => [name, 0]));
  let at = { iteration: 0, residual: 1 };
  const pending = [...options.steps];
  let done = 0;
  let changes: Promise<void> = Promise.resolve(); // one step after the other
  let fail: (error: unknown) => void = () => {};
  const failed = new Promise<never>((_, reject) => {
    fail = reject;
  });
  const job = runFem({
    cluster,
    deck,
    threads,
    output,
    eventsFile: `${output}.events`,
    silenceSeconds: 60,
    onProgress: line => {
      if (line.kind === 'deck')
        screen.say(`${line.dof.toLocaleString('en')} degrees of freedom, ${line.threads} threads`);
      if (line.kind !== 'progress') return;
      at = line;
      options.onProgress?.(line.iteration);
      const next = pending[0];
      if (next && expected !== null && line.iteration >= next.at * expected) {
        pending.shift();
        changes = changes.then(() => apply(cluster, screen, next)).then(() => void done++);
        changes.catch(fail);
      }
      screen.show({ title, ...at, expected, nodes });
    },
    onEvent: event => {
      if (event.event !== 'threads') return;
      nodes = event.nodes;
      screen.show({ title, ...at, expected, nodes });
    },
  });
  const result = await Promise.race([job, failed]);
  screen.settle();
  if (done < options.steps.length)
    throw new Error('the job ended before the cluster had changed as planned: take a finer mesh (a smaller --size)');
  return result;
}

async function apply(cluster: Cluster, screen: Screen, step: Step): Promise<void> {
  for (const [verb, names] of Object.entries({ join: step.join, drain: step.drain, SIGTERM: step.interrupt })) {
    if (names.length > 0) screen.say(`→ ${verb} ${names.join(', ')}`);
  }
  await Promise.all([
    ...step.join.map(name => cluster.join(name)),
    ...step.drain.map(name => cluster.drain(name)),
    ...step.interrupt.map(name => cluster.interrupt(name)),
  ]);
}
