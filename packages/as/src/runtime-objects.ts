import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { cacheDirectory, RUNTIME } from './places.js';
import type { Toolchain } from './toolchain.js';

const run = promisify(execFile);

/** Of the runtime and of programs alike. */
export const C_FLAGS = [
  ...[
    '-std=gnu11',
    '-g1',
    '-fno-math-errno',
    '-fno-strict-aliasing',
    '-fno-semantic-interposition',
    '-ffunction-sections',
  ],
  ...['-DWASM_RT_MEMCHECK_SIGNAL_HANDLER=0', '-DWASM_RT_USE_STACK_DEPTH_COUNT=0', '-DWASM_RT_USE_MMAP=0'],
];

/** The runtime's object files, compiled once per toolchain. */
export async function runtimeObjects(tools: Toolchain, fingerprint: string): Promise<string[]> {
  const directory = join(cacheDirectory(), 'runtime', fingerprint);
  if (!(await stat(directory).catch(() => null))) {
    await mkdir(dirname(directory), { recursive: true });
    const fresh = await mkdtemp(`${directory}-`);
    const sources = (await readdir(RUNTIME)).filter(name => name.endsWith('.c'));
    await Promise.all(
      sources.map(name =>
        run(tools.dmicc, [
          ...C_FLAGS,
          '-O2',
          `-ffile-prefix-map=${RUNTIME}=`,
          '-c',
          join(RUNTIME, name),
          '-o',
          join(fresh, `${name}.o`),
        ]),
      ),
    );
    // Two at a time: the first to finish wins, its result is as good.
    await rename(fresh, directory).catch(() => rm(fresh, { recursive: true, force: true }));
  }
  return (await readdir(directory)).sort().map(name => join(directory, name));
}
