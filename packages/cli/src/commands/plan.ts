import { type PlanRow, POLICIES, type PolicyName } from '@dmi/core';
import { type Command, Option } from 'commander';
import { bytes, type Column, render } from '../show/table.js';
import { type ClientFlags, clientOptions, print, say, withClient } from './context.js';

interface Flags extends ClientFlags {
  policy?: PolicyName;
  output: 'table' | 'json';
  json?: boolean;
}

const HELP = `
Nothing is moved. The plan is what the job's policy (dmi run --balance) would do with it as it is now; --policy shows what
another one would do. Processor time is measured for a second if the job's own policy does not measure it anyway.

  dmi plan                          every job that runs
  dmi plan jk3 --policy load        what would change if processor time counted
  dmi plan jk3 --json               for programs: one array of jobs, each with moves, nodes and held threads

LOAD is cores' worth of work per core: 1.00 is a node that is just busy. Threads that are held do not move now; why is said.`;

export function planCommand(program: Command): void {
  clientOptions(program.command('plan'))
    .description('show what would be moved where, and why, without moving it')
    .argument('[job]', "the job's id, or enough of it (default: all that run)")
    .addOption(new Option('--policy <policy>', "another policy than the job's own").choices(POLICIES))
    .addOption(new Option('-o, --output <format>', 'table or json').choices(['table', 'json']).default('table'))
    .option('--json', 'the same as -o json')
    .addHelpText('after', HELP)
    .action(async (job: string | undefined, flags: Flags) => {
      const { policy } = flags;
      const rows = await withClient(flags, client =>
        client.plan({ ...(job === undefined ? {} : { job }), ...(policy === undefined ? {} : { policy }) }),
      );
      if (flags.json || flags.output === 'json') await print(`${JSON.stringify(rows, null, 2)}\n`);
      else if (rows.length === 0) say('No job runs. Run one: dmi run -n 16 ./program');
      else await print(rows.map(show).join('\n'));
    });
}

const MOVES: Column<PlanRow['moves'][number]>[] = [
  { head: 'THREAD', cell: row => row.thread },
  { head: 'FROM', cell: row => row.from },
  { head: 'TO', cell: row => row.to },
  { head: 'LOAD', cell: row => row.load.toFixed(2), right: true },
  { head: 'SIZE', cell: row => bytes(row.bytes), right: true },
  { head: 'WHY', cell: row => (row.extraHost ? `${row.why} (one more host there: its addresses are taken)` : row.why) },
];
const NODES: Column<PlanRow['nodes'][number]>[] = [
  { head: 'NODE', cell: row => row.node },
  { head: 'CORES', cell: row => String(row.cores), right: true },
  { head: 'THREADS', cell: row => change(row.threads, row.threadsAfter, String), right: true },
  { head: 'LOAD', cell: row => change(row.load, row.loadAfter, load => load.toFixed(2)), right: true },
  { head: '', cell: row => (row.open ? '' : 'takes no threads') },
];

/** A job's plan, as people read it. */
export function show(plan: PlanRow): string {
  const { job, name, policy, own, moves, nodes, held } = plan;
  const other = policy === own ? '' : ` (the job runs with ${own})`;
  const size = moves.reduce((sum, move) => sum + move.bytes, 0);
  const what =
    moves.length === 0
      ? 'nothing to move'
      : `${moves.length} thread${moves.length === 1 ? '' : 's'} would move, ${bytes(size)}`;
  const parts = [`${job} ${name}, by ${policy}${other}: ${what}\n`];
  if (moves.length > 0) parts.push(render(moves, MOVES, 'table'));
  parts.push(render(nodes, NODES, 'table'));
  for (const { thread, node, reason } of held) parts.push(`held: thread ${thread} on ${node}: ${reason}\n`);
  return parts.join('');
}

function change(before: number, after: number, text: (n: number) => string): string {
  return text(before) === text(after) ? text(before) : `${text(before)} -> ${text(after)}`;
}
