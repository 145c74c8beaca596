import { stopClusters } from '../demo/cluster.js';
import { Screen } from '../demo/screen.js';
import { elasticFem } from './elastic-fem.js';
import { parseOptions, USAGE, UsageError } from './options.js';
import { table } from './table.js';

const abandon = () => void stopClusters().finally(() => process.exit(130));
process.once('SIGINT', abandon).once('SIGTERM', abandon);
try {
  const options = parseOptions(process.argv.slice(2));
  if (options) {
    const result = await elasticFem(options, new Screen(options.json ? process.stderr : process.stdout));
    process.stdout.write(options.json ? `${JSON.stringify(result)}\n` : `\n${table(result)}\n`);
    process.exitCode = result.sameSolution ? 0 : 1;
  } else process.stdout.write(`${USAGE}\n`);
} catch (error) {
  const usage = error instanceof UsageError;
  process.stderr.write(
    `experiment: ${error instanceof Error ? error.message : String(error)}\n${usage ? `${USAGE}\n` : ''}`,
  );
  process.exitCode = usage ? 2 : 1;
}
