import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Baselines, guest, run, typescript } from './programs.js';
import { compare, type Measurement, type Result } from './result.js';

const execute = promisify(execFile);
const ONE_WORKER = ['--local', '1', '--cores', '1'];
const ROUNDS = 3;

/** Programs in TypeScript beside the same in C. */
export async function typescriptSuite(): Promise<Result[]> {
  const inC: Measurement[] = [];
  const inTypeScript: Measurement[] = [];
  // In turns, so that both meet the same machine.
  for (let round = 0; round < ROUNDS; round++) {
    inC.push(...(await guest(ONE_WORKER, 'kernels')));
    inTypeScript.push(...(await typescript(ONE_WORKER, 'kernels')));
  }
  const c = new Baselines(leastOf(inC));
  const ts = new Baselines(leastOf(inTypeScript));
  const call = ts.get('ts-call').value - c.get('c-call').value;
  return [
    compare(ts.get('ts-jacobi-vs-c'), c.get('c-jacobi')),
    compare(ts.get('ts-cg-vs-c'), c.get('c-cg')),
    compare({ name: 'ts-call-overhead', value: call, unit: 'ns' }, c.get('c-call')),
    ...(await compiling()).map(m => compare(m)),
    compare(await threadMemory()),
  ];
}

/** By name, the least that was measured: whatever else the machine does only adds to it. */
function leastOf(measurements: readonly Measurement[]): Measurement[] {
  const least = new Map<string, Measurement>();
  for (const one of measurements) {
    const before = least.get(one.name);
    if (!before || one.value < before.value) least.set(one.name, one);
  }
  return [...least.values()];
}

/** What `dmi run` waits for, each in a process of its own: with an empty cache, and again. */
async function compiling(): Promise<Measurement[]> {
  const cache = mkdtempSync(join(tmpdir(), 'dmi-bench-'));
  try {
    const child = fileURLToPath(new URL('compile-once.js', import.meta.url));
    const once = async () =>
      Number((await execute(process.execPath, [child], { env: { ...process.env, DMI_CACHE_DIR: cache } })).stdout);
    const cold = await once();
    const cached = [await once(), await once(), await once()].sort((a, b) => a - b);
    return [
      { name: 'ts-compile-cold', value: cold, unit: 'ns' },
      { name: 'ts-compile-cached', value: cached[1] ?? 0, unit: 'ns' },
    ];
  } finally {
    rmSync(cache, { recursive: true, force: true });
  }
}

/** Bytes that are sent when a thread without data moves: the pages it has written. The least of those that moved. */
async function threadMemory(): Promise<Measurement> {
  const directory = mkdtempSync(join(tmpdir(), 'dmi-bench-'));
  try {
    const events = join(directory, 'events');
    await run(['--local', '2', '--cores', '1', '--events', events], 'bench/typescript/memory.ts');
    const moved = readFileSync(events, 'utf8')
      .split('\n')
      .filter(line => line.includes('"event":"moved"'))
      .map(line => (JSON.parse(line) as { bytes: number }).bytes);
    if (moved[0] === undefined) throw new Error('bench/typescript/memory.ts: its thread has not moved');
    return { name: 'ts-thread-memory', value: Math.min(...moved), unit: 'B' };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
