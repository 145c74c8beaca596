import { type BalanceOptions, DEFAULT_BALANCE, POLICIES, type PolicyName } from '@dmi/core';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { balanceFile } from '../balance-file.js';
import { bytes, type Column, render } from '../show/table.js';
import { type Outcome, simulate } from '../sim/balance/simulate.js';
import { readRecorded, readTrace, type Trace } from '../sim/balance/trace.js';
import { generate, WORKLOADS, type Workload } from '../sim/balance/workload.js';
import { positive, seconds, size } from '../values.js';
import { print } from './context.js';

interface Flags {
  trace?: string;
  events?: string;
  workload: Workload;
  threads: number;
  nodes: number;
  cores: number;
  iterations: number;
  work: number;
  bytes: number;
  seed: number;
  spot?: boolean;
  policies: PolicyName[];
  balanceOptions: BalanceOptions;
  json?: boolean;
}

const HELP = `
Threads compute, exchange their boundaries, and wait for each other, iteration after iteration; the coordinator's own planner
decides about moves. The same arguments give the same figures.

  dmi sim balance                              a finite-element partition with uneven work
  dmi sim balance --workload random --spot     a node is reclaimed on the way, another joins
  dmi sim balance --events run.jsonl           joins and leaves as dmi run --events recorded them
  dmi sim balance --trace my.json --json       your own, as docs/balancing.md describes it`;

export function simBalanceCommand(sim: Command): void {
  sim
    .command('balance')
    .description(
      'how long a job takes under each balancing policy, how much it moves, how long cores are idle (docs/balancing.md)',
    )
    .option('--trace <file>', 'what happens, as JSON; instead of a generated workload')
    .option('--events <file>', 'joins and leaves from a file that dmi run --events wrote')
    .addOption(new Option('--workload <kind>', 'how work is divided among threads').choices(WORKLOADS).default('fem'))
    .option('--threads <n>', 'how many', positive, 32)
    .option('--nodes <n>', 'at the start', positive, 4)
    .option('--cores <n>', 'of each node', positive, 2)
    .option('--iterations <n>', 'of the job', positive, 500)
    .option('--work <seconds>', 'core-seconds of all threads in one iteration', seconds, 1)
    .addOption(new Option('--bytes <size>', 'of each thread').argParser(size).default(16 << 20, '16M'))
    .option('--seed <n>', 'for what is drawn', positive, 1)
    .option('--spot', 'a node is reclaimed a third of the way, and another joins later')
    .addOption(
      new Option('--policies <list>', 'separated by commas')
        .argParser(policies)
        .default([...POLICIES], POLICIES.join(',')),
    )
    .addOption(
      new Option('--balance-options <file>', 'as for dmi run (docs/balancing.md)')
        .argParser(balanceFile)
        .default(DEFAULT_BALANCE, 'those of a job'),
    )
    .option('--json', 'an array of outcomes')
    .addHelpText('after', HELP)
    .action(async (flags: Flags) => {
      const trace = load(flags);
      const rows = flags.policies.map(policy => simulate(trace, policy, flags.balanceOptions));
      await print(flags.json ? `${JSON.stringify(rows)}\n` : render(rows, COLUMNS, 'table'));
    });
}

function load(flags: Flags): Trace {
  const trace =
    flags.trace === undefined
      ? generate(flags.workload, { ...flags, spot: flags.spot ?? false })
      : readTrace(flags.trace);
  return flags.events === undefined ? trace : { ...trace, ...readRecorded(flags.events) };
}

function policies(value: string): PolicyName[] {
  return value.split(',').map(name => {
    const policy = POLICIES.find(one => one === name.trim());
    if (!policy) throw new InvalidArgumentError(`"${name}" is none of ${POLICIES.join(', ')}.`);
    return policy;
  });
}

const COLUMNS: Column<Outcome>[] = [
  { head: 'POLICY', cell: row => row.policy },
  { head: 'MAKESPAN', cell: row => (row.lost > 0 ? 'failed' : `${row.makespan.toFixed(1)} s`), right: true },
  { head: 'ITERATIONS', cell: row => String(row.iterations), right: true },
  { head: 'MOVES', cell: row => String(row.moves), right: true },
  { head: 'MOVED', cell: row => bytes(row.bytes), right: true },
  { head: 'IDLE', cell: row => `${(row.idleShare * 100).toFixed(1)} %`, right: true },
  { head: 'LOST', cell: row => String(row.lost), right: true },
];
