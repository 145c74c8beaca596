import { measureDrain } from './drain.js';
import { measureOverLinks } from './links.js';
import { besideMpi } from './peers.js';
import { Baselines, guest, guestOverTcp, native } from './programs.js';
import { compare, type Measurement, type Result } from './result.js';
import { measureScale } from './scale/scale.js';
import { typescriptSuite } from './typescript.js';

/** Runs a suite and gives its figures, each beside a baseline measured in the same run. */
export type Suite = () => Promise<Result[]>;

const ONE_NODE = ['--local', '1'];
const ONE_WORKER = ['--local', '1', '--cores', '1'];
const TWO_NODES = ['--local', '2'];

/** Which baseline a figure stands beside; a figure without one is reported alone. */
function against(pairs: Readonly<Record<string, string>>, baselines: Baselines) {
  return (measured: Measurement): Result => {
    const name = pairs[measured.name];
    return compare(measured, name === undefined ? undefined : baselines.get(name));
  };
}

async function hosting(): Promise<Result[]> {
  const process = [...(await native('process_baseline')), ...(await native('namespace_baseline'))];
  const pairs = {
    'spawn-1': 'spawn-1-fork-exec',
    'spawn-1-to-main': 'spawn-1-fork-exec',
    'spawn-15': 'spawn-15-dlmopen-clone',
    'switch-round-trip': 'switch-futex-threads',
    'pte-16x128MiB': 'pte-16x128MiB-pthread',
    'syscall-dispatched': 'syscall-native',
    'syscall-rewritten': 'syscall-native',
  };
  const ours = [
    ...(await guest(ONE_NODE, 'spawn')),
    ...(await guest(ONE_WORKER, 'switch')),
    ...(await guest([...ONE_NODE, '--thread-memory', '64M'], 'pages')),
    ...(await guest(ONE_NODE, 'syscall')),
  ];
  const beside = against(pairs, new Baselines(process));
  return [...ours, ...process.filter(m => /^(spawn|switch|pte)-/.test(m.name))].map(beside);
}

async function memory(): Promise<Result[]> {
  const baselines = [...(await native('tcp_baseline')), ...(await native('copy_baseline'))];
  const pairs = {
    'cached-read-8B': 'memcpy-8B',
    'cached-read-4KiB': 'memcpy-4KiB',
    'exclusive-write-8B': 'memcpy-8B',
    'fad-local': 'atomic-add',
    'mutex-local': 'atomic-add',
    'remote-get-8B': 'tcp-round-trip-spinning',
    'remote-put-8B': 'tcp-round-trip-spinning',
    'remote-fad': 'tcp-round-trip-spinning',
    'mutex-remote': 'tcp-round-trip-spinning',
    'mutex-8-threads': 'mutex-2-threads',
    'mutex-8-threads-2-nodes': 'mutex-2-threads-2-nodes',
    'barrier-32-threads-2-nodes': 'tcp-round-trip-spinning',
    'stream-get-1MiB': 'tcp-stream-1MiB',
    'stream-put-1MiB': 'tcp-stream-1MiB',
  };
  const ours = [
    ...(await native('memory_bench', '--json')),
    ...(await native('directory_memory')),
    ...(await guestOverTcp([...TWO_NODES, '-n', '32'], 'barrier')),
    ...(await guest([...ONE_NODE, '-n', '128'], 'barrier')),
    ...(await guest([...ONE_NODE, '-n', '8'], 'mutex')),
    ...(await guestOverTcp([...TWO_NODES, '--balance', 'none', '-n', '8'], 'mutex')),
  ];
  const beside = against(pairs, new Baselines([...baselines, ...ours]));
  const measured = [...ours, ...baselines.filter(m => m.name === 'tcp-round-trip-blocking')].map(beside);
  return [...measured, ...(await besideMpi())];
}

async function migration(): Promise<Result[]> {
  const baselines = await native('tcp_baseline');
  const pairs = {
    'move-64KiB-pause': 'tcp-64KiB-and-ack',
    'move-64KiB': 'tcp-64KiB-and-ack',
    'move-64MiB': 'tcp-stream-1MiB',
    'move-1GiB': 'tcp-stream-1MiB',
    'move-1GiB-live': 'tcp-stream-1MiB',
    'drain-128x40MiB': 'tcp-stream-1MiB',
  };
  const options = [...TWO_NODES, '--balance', 'none', '--thread-memory', '2G'];
  const ours = [
    ...(await guest(options, 'move', '64KiB', '40')),
    ...(await guest(options, 'move_self', '64MiB', '8')),
    ...(await guest(options, 'move_self', '1GiB', '5')),
    ...(await guest(options, 'move', '1GiB', '4')),
    await measureDrain(128, 40),
  ];
  return [...ours.map(against(pairs, new Baselines(baselines))), ...(await measureOverLinks())];
}

async function scale(): Promise<Result[]> {
  return (await measureScale()).map(measured => compare(measured));
}

export const SUITES: Readonly<Record<string, Suite>> = {
  hosting,
  memory,
  migration,
  typescript: typescriptSuite,
  scale,
};
