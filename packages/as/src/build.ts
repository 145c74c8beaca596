import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join, relative, resolve } from 'node:path';
import { promisify } from 'node:util';
import { asDmiError, DmiError } from '@dmi/core';
import { compileToWasm } from './assemblyscript.js';
import { makeProgramSource } from './c-source.js';
import { Cache } from './cache.js';
import { parseDisassembly } from './disassembly.js';
import { RUNTIME } from './places.js';
import { C_FLAGS, runtimeObjects } from './runtime-objects.js';
import { SourceMap } from './source-map.js';
import { checkWasm2c, findToolchain, fingerprint, type Toolchain } from './toolchain.js';

const run = promisify(execFile);

export interface BuildOptions {
  /** Where the executable is to lie; without it, in the cache. */
  output?: string;
  /** Called with each warning of the compiler. */
  warn?: (text: string) => void;
}

export interface BuiltProgram {
  path: string;
  /** Nothing was compiled. */
  cached: boolean;
}

/**
 * A program in TypeScript as an executable that `dmi run` starts: TypeScript → WebAssembly (AssemblyScript) → C (wasm2c) →
 * executable (dmicc). @throws DmiError `bad-program` that says what is wrong where
 */
export async function buildProgram(source: string, options: BuildOptions = {}): Promise<BuiltProgram> {
  const entry = resolve(source);
  const tools = findToolchain();
  const mark = fingerprint(tools);
  const cache = new Cache(`${process.cwd()}\0${entry}`, mark);
  let path = await cache.find();
  const cached = path !== null;
  path ??= await compile(entry, tools, mark, cache, options);
  if (options.output !== undefined) {
    const output = resolve(options.output);
    await copyFile(path, output).catch(cause => {
      throw new DmiError('usage', `${options.output} cannot be written: ${asDmiError(cause).message}`, { cause });
    });
    path = output;
  }
  return { path, cached };
}

async function compile(
  entry: string,
  tools: Toolchain,
  mark: string,
  cache: Cache,
  options: BuildOptions,
): Promise<string> {
  const [{ wasm, sourceMap, files, warnings }, objects] = await Promise.all([
    compileToWasm(entry),
    runtimeObjects(tools, mark),
    checkWasm2c(tools),
  ]);
  for (const warning of warnings) options.warn?.(warning);
  await mkdir(cache.directory, { recursive: true });
  const work = await mkdtemp(join(cache.directory, 'build-'));
  try {
    const at = (name: string) => join(work, name);
    await writeFile(at('job.wasm'), wasm);
    const [, disassembly] = await Promise.all([
      run(tools.wasm2c, [at('job.wasm'), '-n', 'job', '-o', at('job.c')]),
      run(tools.objdump, ['-d', at('job.wasm')], { maxBuffer: 1 << 30 }),
    ]);
    const c = await readFile(at('job.c'), 'utf8');
    const functions = parseDisassembly(disassembly.stdout);
    await writeFile(at('program.c'), makeProgramSource(c, functions, new SourceMap(sourceMap), 'job.h'));
    const program = at('program');
    await run(
      tools.dmicc,
      [
        ...[
          ...C_FLAGS,
          '-O3',
          // Every call has its frame: recursion without end is found as such, and stacks are whole.
          '-fno-optimize-sibling-calls',
          '-w',
          '-static-pie',
          `-I${work}`,
          `-I${RUNTIME}`,
          `-ffile-prefix-map=${work}=`,
          `-ffile-prefix-map=${process.cwd()}=.`,
        ],
        ...[at('program.c'), ...objects, '-Wl,--gc-sections', '-lbacktrace', '-lm', '-o', program],
      ],
      { maxBuffer: 1 << 26 },
    );
    return await cache.keep(files, program, basename(entry, '.ts'));
  } catch (cause) {
    throw failure(cause, entry);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** What a tool said of the output of the one before it. */
function failure(cause: unknown, entry: string): DmiError {
  const stderr = typeof cause === 'object' && cause !== null && 'stderr' in cause ? String(cause.stderr).trim() : '';
  const missing = [...stderr.matchAll(/^(.*?):(\d+): undefined reference to `Z_\w+?Z_(\w+)'/gm)];
  if (missing.length > 0) {
    const lines = missing.map(
      ([, file = '', line, name = '']) =>
        `${relative(process.cwd(), resolve(file))}:${line}: error: ${readable(name)} is declared, but there is no such function`,
    );
    return new DmiError(
      'bad-program',
      `${relative(process.cwd(), entry)} does not compile\n${[...new Set(lines)].join('\n')}`,
      {
        object: entry,
        cause,
        hint: 'what a program can call beyond its own source is in @dmi/as',
      },
    );
  }
  // Ours to mend: all it said is shown.
  const said = stderr.split('\n').slice(0, 20).join('\n') || asDmiError(cause).message;
  return new DmiError('internal', `${basename(entry)} cannot be made into an executable\n${said}`, {
    object: entry,
    cause: new Error(said),
  });
}

/** wasm2c writes characters beyond identifiers as ZXX. */
function readable(name: string): string {
  return name.replace(/Z([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}
