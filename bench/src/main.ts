import { environment } from './environment.js';
import { SUITES } from './suites.js';
import { table } from './table.js';

const USAGE = `usage: npm run bench -- [SUITE...] [--json]
suites: ${Object.keys(SUITES).join(', ')} (default: all)
--json prints one object {suite, results:[{name, value, unit, baseline, ratio}], environment} per suite and line`;

async function main(args: readonly string[]): Promise<number> {
  const json = args.includes('--json');
  const names = args.filter(arg => arg !== '--json');
  if (names.includes('--help') || names.includes('-h')) {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  const unknown = names.find(name => SUITES[name] === undefined);
  if (unknown !== undefined) {
    process.stderr.write(`bench: no suite named ${unknown}\n${USAGE}\n`);
    return 2;
  }
  for (const [suite, run] of Object.entries(SUITES)) {
    if (names.length > 0 && !names.includes(suite)) continue;
    const before = environment();
    if (!json) process.stderr.write(`bench: ${suite} …\n`);
    const results = await run();
    if (json) process.stdout.write(`${JSON.stringify({ suite, results, environment: before })}\n`);
    else process.stdout.write(`\n${suite}\n${table(results)}\n`);
  }
  return 0;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
