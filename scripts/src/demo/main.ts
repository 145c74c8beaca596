import { mkdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { Cluster, stopClusters } from './cluster.js';
import { deckFor } from './deck.js';
import { run } from './elastic.js';
import { type Options, parseOptions, USAGE, UsageError } from './options.js';
import { INITIAL, STEPS } from './plan.js';
import { Screen } from './screen.js';
import { compareSolutions } from './solution.js';
import { describe, summarise } from './summary.js';
import { unchangedRun } from './unchanged.js';

async function demo({ json, threads, part, size, output }: Options): Promise<boolean> {
  const screen = new Screen(json ? process.stderr : process.stdout);
  const deck = deckFor({ part, size });
  const unchanged = await unchangedRun(screen, deck, threads);

  const directory = resolve(output);
  mkdirSync(directory, { recursive: true });
  screen.say(`Elastic run: starts on ${INITIAL.join(' and ')}`);
  const cluster = await Cluster.start();
  try {
    await Promise.all(INITIAL.map(name => cluster.join(name)));
    const elastic = await run(cluster, screen, {
      title: 'elastic',
      deck,
      threads,
      output: `${directory}/${part}`,
      expected: unchanged.iterations,
      steps: STEPS,
    });
    const differs = await compareSolutions(`${directory}/${part}.solution`, unchanged.solution);
    const summary = summarise(elastic, unchanged, differs, new Set(INITIAL));
    process.stdout.write(json ? `${JSON.stringify(summary)}\n` : `\n${describe(summary, differs)}\n`);
    return summary.sameSolution;
  } finally {
    await cluster.stop();
  }
}

const abandon = () => void stopClusters().finally(() => process.exit(130));
process.once('SIGINT', abandon).once('SIGTERM', abandon);
try {
  const options = parseOptions(process.argv.slice(2));
  if (options) process.exitCode = (await demo(options)) ? 0 : 1;
  else process.stdout.write(`${USAGE}\n`);
} catch (error) {
  const usage = error instanceof UsageError;
  process.stderr.write(`demo: ${error instanceof Error ? error.message : String(error)}\n${usage ? `${USAGE}\n` : ''}`);
  process.exitCode = usage ? 2 : 1;
}
