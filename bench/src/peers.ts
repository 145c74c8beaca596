import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Baselines, guest, program } from './programs.js';
import { compare, type Measurement, medians, type Result } from './result.js';

const PEERS = fileURLToPath(new URL('../peers/', import.meta.url));
const KERNELS = ['jacobi', 'cg'] as const;
const CORES = 2;
const THREADS_PER_CORE = [1, 16] as const;
const ROUNDS = 3;

/**
 * The Jacobi and CG kernels of bench/peers over global memory, on one node, beside Open MPI on the same two cores: time per
 * iteration with 1 and with 16 threads (ranks) per core. Both take turns, so that they meet the same machine.
 */
export async function besideMpi(): Promise<Result[]> {
  if (spawnSync('mpicc', ['--version']).status !== 0) {
    process.stderr.write(
      'bench: no mpicc: jacobi-vs-mpi and cg-vs-mpi are left out; install openmpi-bin and libopenmpi-dev\n',
    );
    return [];
  }
  const built = spawnSync('make', ['--no-print-directory', '-s', '-C', PEERS], { encoding: 'utf8' });
  if (built.status !== 0) throw new Error(`bench/peers cannot be built\n${built.stderr}`);
  const ours: Measurement[] = [];
  const theirs: Measurement[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    for (const kernel of KERNELS) {
      for (const perCore of THREADS_PER_CORE) {
        const name = `${kernel}-vs-mpi-${perCore}`;
        theirs.push(...named(name, await mpi(kernel, perCore * CORES)));
        ours.push(...named(name, await slabs(kernel, perCore * CORES)));
      }
    }
  }
  const baselines = new Baselines(medians(theirs));
  return medians(ours).map(measured => compare(measured, { ...baselines.get(measured.name), name: 'Open MPI' }));
}

function named(name: string, measurements: readonly Measurement[]): Measurement[] {
  return measurements.map(measured => ({ ...measured, name }));
}

function slabs(kernel: string, threads: number): Promise<Measurement[]> {
  return guest(['--local', '1', '--cores', `${CORES}`, '-n', `${threads}`], `${kernel}_slabs`);
}

/** Without a launcher for other machines; more ranks than cores are said to be meant (they then yield while they wait). */
function mpi(kernel: string, ranks: number): Promise<Measurement[]> {
  const options = ['--allow-run-as-root', '--oversubscribe', '--mca', 'plm', 'isolated', '-np', `${ranks}`];
  return program('taskset', ['-c', `0-${CORES - 1}`, 'mpirun', ...options, `${PEERS}build/${kernel}_mpi`]);
}
