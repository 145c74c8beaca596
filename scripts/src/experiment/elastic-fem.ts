import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { resolve } from 'node:path';
import { Cluster } from '../demo/cluster.js';
import { deckFor } from '../demo/deck.js';
import { run } from '../demo/elastic.js';
import type { Screen } from '../demo/screen.js';
import { compareSolutions } from '../demo/solution.js';
import { unchangedRun } from '../demo/unchanged.js';
import { Network } from '../network.js';
import { type Figures, figures, type Progress } from './figures.js';
import type { Options } from './options.js';
import { picture } from './picture.js';

export interface Result extends Figures {
  readonly experiment: 'elastic-fem';
  readonly conditions: {
    readonly threads: number;
    /** At first, at most, at last. */
    readonly nodes: readonly [number, number, number];
    readonly part: string;
    readonly meshSize: number;
    readonly network: string;
    readonly cores: number;
    readonly cpu: string;
    readonly kernel: string;
    readonly node: string;
  };
  readonly totalIterations: number;
  readonly seconds: number;
  readonly relResidual: number;
  /** Against a run on a cluster of two nodes that never changed. */
  readonly maxAbsDiff: number;
  readonly sameSolution: boolean;
}

const LINKS = '10gbit';
const PART = 'bracket';
const FULL = { threads: 128, first: 8, more: 8, left: 4, size: 4 };
const QUICK = { threads: 16, first: 2, more: 2, left: 1, size: 4.5 };

export async function elasticFem(options: Options, screen: Screen): Promise<Result> {
  const { threads, first, more, left, ...rest } = options.quick ? QUICK : FULL;
  const size = options.size ?? rest.size;
  const initial = Array.from({ length: first }, (_, i) => `node-${i + 1}`);
  const joining = Array.from({ length: more }, (_, i) => `node-${first + i + 1}`);
  // All of those that were there at first leave, and some of the others: what is left was not there in the beginning.
  const leaving = [...initial, ...joining].slice(0, first + more - left);
  const missing = options.loopback ? 'as --loopback says' : Network.missing();
  screen.say(
    missing === null ? `Every node a network namespace, links of ${LINKS}` : `All nodes on loopback: ${missing}`,
  );

  const deck = deckFor({ part: PART, size });
  const unchanged = await unchangedRun(screen, deck, threads);
  const directory = resolve(options.output);
  mkdirSync(directory, { recursive: true });
  const network = missing === null ? Network.of(['hub', ...initial, ...joining]) : null;
  const onExit = () => network?.remove();
  process.once('exit', onExit);
  try {
    if (network) process.env.DMI_HOST_MOVES = 'stream'; // the machines share a kernel: not past the network
    if (network) process.env.DMI_TOKEN ??= 'experiment'; // not on loopback: peers must prove that they belong
    for (const machine of network ? ['hub', ...initial, ...joining] : []) network?.limit(machine, LINKS);
    screen.say(`Elastic run: ${threads} threads on ${first} nodes, +${more}, −${leaving.length}`);
    const cluster = await Cluster.start(network);
    try {
      await Promise.all(initial.map(name => cluster.join(name)));
      const progress: Progress[] = [];
      const output = `${directory}/${PART}`;
      const job = await run(cluster, screen, {
        title: 'elastic',
        deck,
        threads,
        output,
        expected: unchanged.iterations,
        steps: [
          { at: 0.2, join: joining, drain: [], interrupt: [] },
          { at: 0.55, join: [], drain: [], interrupt: leaving },
        ],
        onProgress: iteration => progress.push({ time: Date.now() / 1000, iteration }),
      });
      const { maxAbsDiff, maxAbs } = await compareSolutions(`${output}.solution`, unchanged.solution);
      const found = figures(progress, job.events, initial);
      const result: Result = {
        experiment: 'elastic-fem',
        conditions: {
          threads,
          nodes: [first, first + more, left],
          part: PART,
          meshSize: size,
          network: network ? `network namespaces, ${LINKS} each (tbf)` : 'loopback',
          cores: cpus().length,
          cpu: cpus()[0]?.model ?? '?',
          kernel: release(),
          node: process.version,
        },
        totalIterations: job.iterations,
        seconds: job.seconds,
        relResidual: job.residual,
        maxAbsDiff,
        sameSolution: maxAbsDiff <= 1e-8 * maxAbs,
        ...found,
      };
      writeFileSync(`${directory}/elastic-fem.json`, `${JSON.stringify(result, null, 1)}\n`);
      const title = `${threads} threads on ${first}, ${first + more}, ${left} nodes; ${result.conditions.network}; ${result.conditions.cores} cores in all`;
      writeFileSync(`${directory}/elastic-fem.svg`, picture(title, found));
      screen.say(`Written: ${directory}/elastic-fem.json, elastic-fem.svg`);
      return result;
    } finally {
      await cluster.stop();
    }
  } finally {
    process.off('exit', onExit);
    network?.remove();
  }
}
