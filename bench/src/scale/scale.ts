import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Client, hashFile, type JobSpec } from '@dmi/core';
import type { Measurement } from '../result.js';
import { Simulation } from './simulated.js';

const NODES = 1_000;
const THREADS = 65_536;
const DRAINED = 100;
const IDLE_SECONDS = 10;
const TICKS_PER_SECOND = 100;

const pause = (ms: number) => new Promise(resolve => setTimeout(resolve, ms));

/** The real coordinator, in a process of its own, with 1,000 simulated agents and a job of 65,536 threads. */
export async function measureScale(): Promise<Measurement[]> {
  const directory = mkdtempSync(join(tmpdir(), 'dmi-scale-'));
  const dmi = fileURLToPath(new URL('../../../packages/cli/bin/dmi.js', import.meta.url));
  const coordinator = spawn(process.execPath, [dmi, 'coordinator', '--listen', '127.0.0.1:0', '--log-level', 'error'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, DMI_TOKEN: '', DMI_CACHE_DIR: directory },
  });
  try {
    const address = await new Promise<string>((resolve, reject) => {
      createInterface({ input: coordinator.stdout }).once('line', resolve);
      coordinator.once('exit', code => reject(new Error(`the coordinator ended with ${code}`)));
    });
    return await measure(new Simulation(address), coordinator.pid as number, directory);
  } finally {
    coordinator.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  }
}

async function measure(simulation: Simulation, pid: number, directory: string): Promise<Measurement[]> {
  const results: Measurement[] = [];
  for (let i = 0; i < NODES; i += 50)
    await Promise.all(Array.from({ length: 50 }, (_, k) => simulation.join(`n${i + k}`)));

  const busy = cpuSeconds(pid);
  await pause(IDLE_SECONDS * 1000);
  results.push({ name: 'idle-cpu-1000-agents', value: (cpuSeconds(pid) - busy) / IDLE_SECONDS, unit: 'cores' });

  const client = await Client.connect({ address: simulation.address, token: null });
  const job = await client.submit(
    await spec(directory),
    new Map([[await hashFile(program(directory)), program(directory)]]),
    () => {},
  );
  await settled(
    () => simulation.threads === THREADS,
    () => simulation.threads,
  );
  await quiet(simulation);

  const join = await joinOne(simulation);
  results.push({ name: 'plan-join-1000-nodes', value: join.seconds * 1e9, unit: 'ns' });
  results.push({ name: 'bytes-per-join', value: join.bytes, unit: 'B' });
  results.push({ name: 'messages-per-join', value: join.messages, unit: 'messages' });

  const drain = await drainMany(simulation, client);
  results.push({ name: 'plan-drain-100-nodes', value: drain.seconds * 1e9, unit: 'ns' });
  results.push({ name: 'bytes-per-drain-of-100', value: drain.bytes, unit: 'B' });
  results.push({ name: 'coordinator-rss', value: rss(pid), unit: 'B' });
  await Promise.race([job.cancel(), pause(20_000)]);
  await client.close();
  simulation.close();
  return results;
}

/** From the new host's being ready until the last of the first moves to it has been asked for. */
async function joinOne(simulation: Simulation): Promise<{ seconds: number; bytes: number; messages: number }> {
  const before = { bytes: simulation.bytes, messages: simulation.messages };
  let planned = 0;
  simulation.onOrder = (_host, order) => {
    if (order.t === 'move' && planned === 0) planned = performance.now();
  };
  const start = performance.now();
  await simulation.join('newcomer');
  await settled(
    () => planned > 0,
    () => planned,
  );
  await quiet(simulation);
  return {
    seconds: (planned - start) / 1000,
    bytes: simulation.bytes - before.bytes,
    messages: simulation.messages - before.messages,
  };
}

/** From asking for the drains until each of the nodes has been asked for its first move. */
async function drainMany(simulation: Simulation, client: Client): Promise<{ seconds: number; bytes: number }> {
  const before = simulation.bytes;
  const asked = new Set<string>();
  let planned = 0;
  simulation.onOrder = (host, order) => {
    if (order.t !== 'move' || planned > 0) return;
    asked.add(host.agent.name);
    if (asked.size >= DRAINED) planned = performance.now();
  };
  const start = performance.now();
  const drains = Array.from({ length: DRAINED }, (_, i) => client.drain(`n${i}`));
  await settled(
    () => planned > 0,
    () => asked.size,
  );
  await Promise.all(drains);
  return { seconds: (planned - start) / 1000, bytes: simulation.bytes - before };
}

async function settled(so: () => boolean, now: () => number): Promise<void> {
  for (const end = performance.now() + 120_000; performance.now() < end; await pause(5)) if (so()) return;
  throw new Error(`scale: not within 120 s (at ${now()})`);
}

/** No moves for a second. */
async function quiet(simulation: Simulation): Promise<void> {
  for (let last = -1; last !== simulation.moves; ) {
    last = simulation.moves;
    await pause(1_000);
  }
}

function program(directory: string): string {
  return join(directory, 'program');
}

async function spec(directory: string): Promise<JobSpec> {
  writeFileSync(program(directory), 'a simulated program');
  const hash = await hashFile(program(directory));
  return {
    name: 'simulated',
    kind: 'spmd',
    n: THREADS,
    program: '/program',
    hash,
    files: [{ path: '/program', hash, size: 19 }],
    argv: ['program'],
    env: [],
    cwd: '/',
    threadMemory: 1 << 20,
    peerTimeout: 30,
    balance: 'threads',
  };
}

/** Processor time that a process has used, all its threads together. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

function rss(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
}
