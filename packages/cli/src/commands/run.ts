import type { Readable } from 'node:stream';
import { buildProgram, isTypeScript } from '@dmi/as/compiler';
import {
  type BalanceOptions,
  Client,
  type ClusterEvent,
  GRACE_MS,
  type Job,
  type JobResult,
  type OutputPiece,
  POLICIES,
  type PolicyName,
} from '@dmi/core';
import { type Command, Option } from 'commander';
import { balanceFile } from '../balance-file.js';
import { EXIT, Exit } from '../exit.js';
import { LocalCluster } from '../local-cluster.js';
import { makeLog } from '../logging.js';
import { type LoadedProgram, loadProgram } from '../program/load.js';
import { OutputWriter } from '../show/output.js';
import { makeSpec } from '../spec.js';
import { tlsFiles } from '../tls-flags.js';
import { positive, readToken, seconds, size } from '../values.js';
import { type ClientFlags, clientOptions, say } from './context.js';
import { openEvents } from './events.js';
import { onSignals, signalStatus } from './signals.js';

interface Flags extends ClientFlags {
  n: number;
  local?: number;
  cores?: number;
  memory?: number;
  threadMemory: number;
  peerTimeout: number;
  balance: PolicyName;
  balanceOptions?: BalanceOptions;
  zone?: [number, number];
  tag?: boolean;
  events?: string;
  output: 'table' | 'json';
  timeout?: number;
  logLevel: string;
}

export function runCommand(program: Command): void {
  clientOptions(program.command('run'))
    .description('run a program on the cluster, as many threads as you say')
    .argument(
      '<program>',
      'an executable (linked by dmicc, or any position-independent one), or a TypeScript source (.ts)',
    )
    .argument('[args...]', "the program's arguments")
    .option('-n <threads>', 'how many threads (in DMI_THREADS, or DMI_SIZE)', positive, 1)
    .option('--local <nodes>', 'no cluster needed: use this many nodes on this machine, for this job alone', positive)
    .option('--cores <n>', 'with --local: worker threads per node', positive)
    .option('--memory <size>', 'with --local: global memory per node', size)
    .addOption(
      new Option('--thread-memory <size>', "a thread's memory as far as you can tell; regions are aligned to it")
        .argParser(size)
        .default(1 << 30, '1G'),
    )
    .option(
      '--peer-timeout <seconds>',
      'how long memory operations wait for a node that does not answer; then the job fails',
      seconds,
      30,
    )
    .addOption(
      new Option(
        '--balance <policy>',
        'threads: even threads per core; load: even measured processor time; affinity: weigh load, what moving costs, and which threads share pages; none: leave them (docs/balancing.md)',
      )
        .choices(POLICIES)
        .default('threads'),
    )
    .option('--balance-options <file>', 'how the policy weighs things, as JSON (docs/balancing.md)', balanceFile)
    .addOption(
      new Option('--zone <low-high>', 'a smaller thread zone, in hexadecimal; provokes collisions')
        .argParser(zone)
        .hideHelp(),
    )
    .option('--tag', 'begin each line with the thread that printed it')
    .option(
      '--events <file>',
      'write what happens (joins, moves, drains …) as JSON lines to a file or an open descriptor',
    )
    .option('--timeout <seconds>', 'cancel the job after this long', seconds)
    .addOption(
      new Option('-o, --output <format>', 'json: the outcome as one object, as last line on stderr')
        .choices(['table', 'json'])
        .default('table'),
    )
    .option('--log-level <level>', 'with --local: log of the embedded cluster', 'silent')
    .passThroughOptions()
    .addHelpText('after', HELP)
    .action(run);
}

const HELP = `
A program that defines DMI_main is started once, and finds N in DMI_THREADS. Any other is started N times, each with its
number in DMI_RANK and N in DMI_SIZE.

  dmi run -n 16 ./fem deck.inp            on the cluster of DMI_ADDRESS
  dmi run -n 16 job.ts                    compiled to native code first, once
  dmi run --local 4 -n 16 -- ./fem -v     on four nodes of its own

Exit status: the program's; 1 if the job failed; 2 for a program that cannot run; 3 if there is no cluster or it has no
nodes; 4 after --timeout; 130 after Ctrl-C, which cancels the job.`;

/** After a signal, how long output may go on to be written, ms. */
const ABANDON_MS = 1_000;

async function run(name: string, args: string[], flags: Flags): Promise<void> {
  const program = await loadProgram(await executable(name));
  const emit = flags.events === undefined ? null : openEvents(flags.events);
  if (flags.local === undefined) {
    const address = flags.address === undefined ? {} : { address: flags.address };
    const token = readToken(flags.tokenFile);
    const client = await Client.connect({ ...address, token, tls: tlsFiles(flags), reconnectMs: GRACE_MS });
    try {
      await runWith(client, program, [name, ...args], flags, emit);
    } finally {
      await client.close();
    }
    return;
  }
  const { cores, memory } = flags;
  const cluster = await LocalCluster.start({
    nodes: flags.local,
    log: await makeLog('dmi', flags.logLevel),
    ...(cores === undefined ? {} : { cores }),
    ...(memory === undefined ? {} : { memory }),
  });
  try {
    const client = await Client.connect({ address: cluster.coordinator.address, token: null, tls: {} });
    try {
      await runWith(client, program, [name, ...args], flags, emit);
    } finally {
      await client.close();
    }
  } finally {
    await cluster.stop();
  }
}

/** The executable to run: a program in TypeScript is compiled first, unless that has been done before. */
async function executable(name: string): Promise<string> {
  return isTypeScript(name) ? (await buildProgram(name, { warn: say })).path : name;
}

async function runWith(
  client: Client,
  program: LoadedProgram,
  argv: string[],
  flags: Flags,
  emit: ((event: object) => void) | null,
): Promise<void> {
  // Signals that come before the job exists count as well.
  let cancel: ((signal: 'SIGINT' | 'SIGTERM' | 'timeout' | 'output') => void) | null = null;
  let signalled: 'SIGINT' | 'SIGTERM' | 'timeout' | 'output' | null = null;
  const ask = (why: 'SIGINT' | 'SIGTERM' | 'timeout' | 'output') => {
    if (signalled !== null) return;
    signalled = why;
    cancel?.(why);
  };
  const forget = onSignals((signal, times) => {
    if (times >= 3) process.exit(signalStatus(signal));
    ask(signal);
  });
  const timer = flags.timeout === undefined ? null : setTimeout(() => ask('timeout'), flags.timeout * 1000);
  const streams = [process.stdout, process.stderr];
  for (const stream of streams) stream.on('error', () => ask('output'));
  try {
    let id: string | null = null;
    const early: ClusterEvent[] = [];
    if (emit) {
      await client.subscribe(event => {
        if (id === null) early.push(event);
        else if (concerns(event, id)) emit(event);
      });
      // Nodes that were there before are joins of this run's history.
      for (const { name, cores } of await client.nodes())
        emit({ time: Date.now() / 1000, event: 'join', node: name, cores });
    }
    const writer = new OutputWriter(streams, flags.tag ?? false, full => client.hold(full));
    const job: Job = await client.submit(
      makeSpec(program, argv, flags),
      program.sources,
      (piece: OutputPiece) => writer.write(piece),
      openStdin,
    );
    id = job.id;
    for (const event of early) if (emit && concerns(event, id)) emit(event);
    cancel = why => {
      if (why !== 'output') say(`dmi: cancelling job ${job.id} (${why})`);
      // A reader that has stopped must not keep us from hearing that the job is over.
      setTimeout(() => writer.abandon(), why === 'output' ? 0 : ABANDON_MS).unref();
      job.cancel().catch(() => {});
    };
    if (signalled !== null) cancel(signalled);
    finish(await job.done, flags, signalled);
  } finally {
    if (timer) clearTimeout(timer);
    forget();
  }
}

/** What the job reads. Where reading fails it finds the end, and we say why. */
function openStdin(): Readable {
  return process.stdin.on('error', error => say(`dmi: stdin cannot be read: ${error.message}`));
}

function concerns(event: ClusterEvent, job: string): boolean {
  return !('job' in event) || event.job === job;
}

function finish(result: JobResult, flags: Flags, signalled: string | null): never {
  if (flags.output === 'json') say(JSON.stringify(result));
  else if (result.state === 'failed') say(`dmi: job ${result.job} failed: ${result.reason}`);
  else if (result.state === 'cancelled' && signalled === null) say(`dmi: job ${result.job} was cancelled`);
  if (result.state === 'done') throw new Exit(result.status ?? 0);
  if (signalled === 'timeout') throw new Exit(EXIT.timeout, true);
  throw new Exit(
    signalled === 'SIGINT' || signalled === 'SIGTERM' ? signalStatus(signalled) : EXIT.failed,
    signalled !== null,
  );
}

function zone(value: string): [number, number] {
  const [low, high] = value.split('-').map(part => Number.parseInt(part, 16));
  return [low ?? 0, high ?? 0];
}
