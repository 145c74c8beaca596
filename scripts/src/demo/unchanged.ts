import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { Cluster } from './cluster.js';
import { fingerprint } from './deck.js';
import { run } from './elastic.js';
import { CACHE, FEM, HOST } from './paths.js';
import { INITIAL } from './plan.js';
import type { Screen } from './screen.js';

/** The run that the elastic one is compared with. */
export interface Unchanged {
  readonly solution: string;
  readonly iterations: number;
  readonly seconds: number;
}

/**
 * Runs the job on the nodes of the start with nothing changing. The solution is kept for later demos of the same deck,
 * thread count, program and host; whatever is rebuilt is run again.
 */
export async function unchangedRun(screen: Screen, deck: string, threads: number): Promise<Unchanged> {
  const prefix = `${CACHE}/unchanged-${fingerprint([deck, FEM, HOST], String(threads))}`;
  const record = `${prefix}.json`;
  if (existsSync(record)) {
    const known = JSON.parse(readFileSync(record, 'utf8')) as Unchanged;
    screen.say(`Unchanging cluster: ${known.iterations} iterations, known from an earlier demo of this build`);
    return known;
  }
  mkdirSync(CACHE, { recursive: true });
  screen.say(`Unchanging cluster, for comparison: ${INITIAL.join(', ')}`);
  const cluster = await Cluster.start();
  try {
    await Promise.all(INITIAL.map(name => cluster.join(name)));
    const options = { title: 'unchanging', deck, threads, output: prefix, expected: null, steps: [] };
    const { iterations, seconds } = await run(cluster, screen, options);
    const known: Unchanged = { solution: `${prefix}.solution`, iterations, seconds };
    writeFileSync(`${record}.tmp`, JSON.stringify(known));
    renameSync(`${record}.tmp`, record);
    screen.say(`  ${iterations} iterations in ${seconds.toFixed(1)} s`);
    return known;
  } finally {
    await cluster.stop();
  }
}
