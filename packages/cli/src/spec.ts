import { basename } from 'node:path';
import type { BalanceOptions, JobSpec, PolicyName } from '@dmi/core';
import type { LoadedProgram } from './program/load.js';

export interface SpecOptions {
  n: number;
  threadMemory: number;
  peerTimeout: number;
  balance: PolicyName;
  balanceOptions?: BalanceOptions;
  zone?: [number, number];
}

/** Variables that are the client's own business. */
const PRIVATE = new Set(['DMI_TOKEN', 'DMI_ADDRESS', 'DMI_RANK', 'DMI_SIZE', 'DMI_THREADS', 'DMI_THREAD_MEMORY', '_']);

/** The job that runs a program here as it would run without us: same arguments, environment and directory. */
export function makeSpec(program: LoadedProgram, argv: readonly string[], options: SpecOptions): JobSpec {
  const { n, threadMemory, peerTimeout, balance, balanceOptions, zone } = options;
  const env = Object.entries(process.env).flatMap(([name, value]) =>
    value === undefined || PRIVATE.has(name) ? [] : [`${name}=${value}`],
  );
  return {
    name: basename(program.path),
    kind: program.elf.hasDmiMain ? 'main' : 'spmd',
    n,
    program: program.path,
    hash: program.hash,
    files: program.files,
    argv: [...argv],
    // What --thread-memory says: programs in TypeScript reserve their memory by it.
    env: [...env, `DMI_THREAD_MEMORY=${threadMemory}`],
    cwd: process.cwd(),
    threadMemory,
    peerTimeout,
    balance,
    ...(balanceOptions === undefined ? {} : { balancing: balanceOptions }),
    ...(zone === undefined ? {} : { zone }),
  };
}
