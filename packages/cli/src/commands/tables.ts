import type { JobRow, NodeRow, ThreadRow } from '@dmi/core';
import { type Command, Option } from 'commander';
import { bytes, type Column, duration, render } from '../show/table.js';
import { type ClientFlags, clientOptions, type FormatFlags, print, say, withClient } from './context.js';

const NODES: Column<NodeRow>[] = [
  { head: 'NAME', cell: row => row.name },
  { head: 'STATE', cell: row => state(row) },
  { head: 'CORES', cell: row => String(row.cores), right: true },
  { head: 'MEMORY', cell: row => bytes(row.memory), right: true },
  { head: 'THREADS', cell: row => String(row.threads), right: true },
  { head: 'HOSTS', cell: row => String(row.hosts), right: true, wide: true },
  { head: 'ADDRESS', cell: row => row.address, wide: true },
  { head: 'HOSTNAME', cell: row => row.hostname, wide: true },
  { head: 'VERSION', cell: row => row.version, wide: true },
];
function state({ link, state, leaves }: NodeRow): string {
  if (link === 'down') return 'disconnected';
  return leaves === null ? state : `${state} (${Math.ceil(leaves)} s left)`;
}
const JOBS: Column<JobRow>[] = [
  { head: 'JOB', cell: row => row.job },
  { head: 'PROGRAM', cell: row => row.name },
  { head: 'STATE', cell: row => row.state },
  { head: 'THREADS', cell: row => String(row.threads), right: true },
  { head: 'NODES', cell: row => String(row.nodes), right: true },
  { head: 'TIME', cell: row => duration(row.seconds), right: true },
  { head: 'STATUS', cell: row => (row.status === null ? '-' : String(row.status)), right: true },
  { head: 'KIND', cell: row => row.kind, wide: true },
  { head: 'N', cell: row => String(row.n), right: true, wide: true },
  { head: 'EPOCH', cell: row => String(row.epoch), right: true, wide: true },
  { head: 'REASON', cell: row => row.reason ?? '', wide: true },
];
const THREADS: Column<ThreadRow>[] = [
  { head: 'JOB', cell: row => row.job },
  { head: 'THREAD', cell: row => row.thread },
  { head: 'NODE', cell: row => row.node },
  { head: 'STATE', cell: row => row.state },
  { head: 'CPU', cell: row => (row.cpuSeconds === undefined ? '-' : duration(row.cpuSeconds)), right: true },
  { head: 'SIZE', cell: row => (row.bytes === undefined ? '-' : bytes(row.bytes)), right: true },
  { head: 'MOVES', cell: row => String(row.moves), right: true },
  { head: 'MEMBER', cell: row => String(row.member), right: true, wide: true },
  { head: 'PINNED', cell: row => row.pinned ?? '', wide: 'or said' },
];

type Flags = ClientFlags & FormatFlags;

function listing(program: Command, name: string, description: string): Command {
  return clientOptions(program.command(name).description(description)).addOption(
    new Option('-o, --output <format>', 'table, wide or json').choices(['table', 'wide', 'json']).default('table'),
  );
}

async function show<Row>(rows: Row[], columns: Column<Row>[], flags: Flags, none: string): Promise<void> {
  if (rows.length === 0 && flags.output !== 'json') say(none);
  else await print(render(rows, columns, flags.output));
}

const PS_HELP = `
A thread is named after the host where it began: 0.3 is the third of host 0, wherever it is now. PINNED is shown when one
cannot move, with what holds it; dmi drain waits for such threads.`;

export function tableCommands(program: Command): void {
  listing(program, 'nodes', 'list the nodes of the cluster').action(async (flags: Flags) => {
    const rows = await withClient(flags, client => client.nodes());
    await show(rows, NODES, flags, 'No nodes. Add one: dmi agent --join ws://…');
  });
  listing(program, 'jobs', 'list the jobs that run and the latest that have ended').action(async (flags: Flags) => {
    const rows = await withClient(flags, client => client.jobs());
    await show(rows, JOBS, flags, 'No jobs. Run one: dmi run -n 16 ./program');
  });
  listing(program, 'ps', 'list threads: where each is, its processor time and size')
    .option('--job <job>', 'of this job only')
    .addHelpText('after', PS_HELP)
    .action(async (flags: Flags & { job?: string }) => {
      const rows = await withClient(flags, client =>
        client.threads({ ...(flags.job === undefined ? {} : { job: flags.job }), detail: true }),
      );
      await show(rows, THREADS, flags, 'No threads. Run something: dmi run -n 16 ./program');
    });
}
