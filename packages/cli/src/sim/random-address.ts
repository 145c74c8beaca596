import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { DmiError } from '@dmi/core';
import { findHostBinary } from '@dmi/node-agent';

/** Processes in one address space of 2^`addressBits` bytes; each has `bytes` in `pieces` equal parts at random multiples of `align`. */
export interface Layout {
  addressBits: number;
  processes: number;
  bytes: number;
  pieces: number;
  align: number;
}

/** Address spaces needed, over all trials; `meet`: the share of pairs of processes that cannot be in one. */
export interface Summary extends Layout {
  mean: number;
  min: number;
  max: number;
  trials: number;
  seed: number;
  meet: number;
  /** Of the slowest trial. */
  seconds: number;
}

interface Trial {
  spaces: number;
  pairs: number;
  seconds: number;
}

/** Draws everything `trials` times. @throws DmiError `usage` for a layout that makes no sense, `host` when dmi-sim is not built */
export async function simulate(
  layout: Layout,
  { trials, seed, threads }: { trials: number; seed: number; threads: number },
): Promise<Summary> {
  const { addressBits, processes, bytes, pieces, align } = layout;
  const numbers = [addressBits, processes, bytes, pieces, align, trials, seed, threads];
  const drawn = (await run(numbers.map(String)))
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as Trial);
  const spaces = drawn.map(trial => trial.spaces);
  const pairs = drawn.reduce((sum, trial) => sum + trial.pairs, 0) / drawn.length;
  return {
    mean: spaces.reduce((a, b) => a + b, 0) / spaces.length,
    min: Math.min(...spaces),
    max: Math.max(...spaces),
    trials: spaces.length,
    ...layout,
    seed,
    meet: processes < 2 ? 0 : pairs / ((processes * (processes - 1)) / 2),
    seconds: Math.max(...drawn.map(trial => trial.seconds)),
  };
}

function run(args: string[]): Promise<string> {
  const binary = process.env.DMI_SIM_BIN || join(dirname(findHostBinary()), 'dmi-sim');
  return new Promise((resolve, reject) => {
    execFile(binary, args, { encoding: 'utf8' }, (error, stdout, stderr) => {
      if (!error) resolve(stdout);
      else if (error.code === 2) reject(new DmiError('usage', stderr.trim()));
      else
        reject(
          new DmiError('host', `dmi-sim failed: ${stderr.trim() || error.message}`, {
            object: binary,
            hint: 'build it: npm run build',
          }),
        );
    });
  });
}
